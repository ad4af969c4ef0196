#include "engine/base/digest.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "engine/base/error.h"

using namespace faultline;

namespace {

// The buffer that xxHash's own sanity check hashes.
std::vector<uint8_t> sanity_buffer(size_t size) {
  std::vector<uint8_t> buffer(size);
  uint64_t generator = 2654435761u;
  for (uint8_t& byte : buffer) {
    byte = static_cast<uint8_t>(generator >> 56);
    generator *= 11400714785074694797u;
  }
  return buffer;
}

std::string sanity_digest(size_t size) { return digest_bytes(sanity_buffer(size).data(), size).hex(); }

}  // namespace

// Source: xxHash 0.8.1, cli/xsum_sanity_check.c, XSUM_XXH128_testdata with seed 0: high64, then low64.
TEST_CASE("digest: XXH3-128 gives the published values for every length class") {
  CHECK(sanity_digest(0) == "99aa06d3014798d86001c324468d497f");
  CHECK(sanity_digest(1) == "a6cd5e9392000f6ac44bdff4074eecdb");
  CHECK(sanity_digest(6) == "082afe0b8162d12a3e7039bdda43cfc6");
  CHECK(sanity_digest(12) == "6e3efd8fc7802b18061a192713f69ad9");
  CHECK(sanity_digest(24) == "0ce966e4678d37611e7044d28b1b901d");
  CHECK(sanity_digest(48) == "a002ac4e5478227ef942219aed80f67b");
  CHECK(sanity_digest(81) == "4952f58181ab00425e8bafb9f95fb803");
  CHECK(sanity_digest(222) == "337e09641b948717f1aebd597cec6b3a");
  CHECK(sanity_digest(403) == "1b6de21e332dd73dcdeb804d65c6dea4");
  CHECK(sanity_digest(512) == "18d2d110dcc9bca1617e49599013cb6b");
  CHECK(sanity_digest(2048) == "f736557fd47073a5dd59e2c3a5f038e0");
  CHECK(sanity_digest(2240) == "ccb134fbfa7ce49d6e73a90539cf2948");
}

TEST_CASE("digest: bytes that come in parts have that of the whole, used again too") {
  DigestStream stream;
  for (const size_t size : {0, 1, 240, 241, 1024, 1025, 70000}) {
    const std::vector<uint8_t> buffer = sanity_buffer(size);
    for (const size_t part : {1, 63, 64, 1000, 1024, 100000}) {
      stream.begin();
      for (size_t begin = 0; begin < size; begin += part)
        stream.add(buffer.data() + begin, std::min(part, size - begin));
      CAPTURE(size, part);
      CHECK(stream.end() == digest_bytes(buffer.data(), size));
    }
  }
}

TEST_CASE("digest: any flipped bit of a buffer changes it") {
  std::vector<uint8_t> buffer = sanity_buffer(300);
  const Digest before = digest_bytes(buffer.data(), buffer.size());
  for (size_t bit = 0; bit < 8 * buffer.size(); ++bit) {
    buffer[bit / 8] ^= 1 << bit % 8;
    REQUIRE(digest_bytes(buffer.data(), buffer.size()) != before);
    buffer[bit / 8] ^= 1 << bit % 8;
  }
  CHECK(digest_bytes(buffer.data(), buffer.size()) == before);
}

TEST_CASE("digest: a chain depends on its members, their order and their number") {
  const Digest a = digest_text("a"), b = digest_text("b");
  const Digest ab[] = {a, b}, ba[] = {b, a}, aa[] = {a, a};
  CHECK(digest_chain(ab, 2) == digest_text(std::string_view(reinterpret_cast<const char*>(ab), 32)));
  CHECK(digest_chain(ab, 2) != digest_chain(ba, 2));
  CHECK(digest_chain(aa, 2) != digest_chain(aa, 1));
  CHECK(digest_chain(nullptr, 0) == digest_text(""));
}

TEST_CASE("digest: the text form is read back, anything else is refused") {
  const Digest digest = digest_text("faultline");
  CHECK(digest.hex().size() == 32);
  CHECK(Digest::from_hex(digest.hex()) == digest);
  CHECK_THROWS_AS(Digest::from_hex(""), Error);
  CHECK_THROWS_AS(Digest::from_hex(digest.hex() + "0"), Error);
  CHECK_THROWS_AS(Digest::from_hex("g" + digest.hex().substr(1)), Error);
  CHECK_THROWS_AS(Digest::from_hex("A" + digest.hex().substr(1)), Error);
}

// Source: FIPS 180-4, examples of NIST's Cryptographic Standards and Guidelines.
TEST_CASE("sha256: gives the published values") {
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(std::string(1'000'000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
