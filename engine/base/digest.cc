#include "engine/base/digest.h"

#include <openssl/evp.h>

#include <cstring>
#include <new>

#include "engine/base/error.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace faultline {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

std::string to_hex(const uint8_t* bytes, size_t count) {
  std::string text(2 * count, '0');
  for (size_t i = 0; i < count; ++i) {
    text[2 * i] = kHexDigits[bytes[i] >> 4];
    text[2 * i + 1] = kHexDigits[bytes[i] & 15];
  }
  return text;
}

Digest canonical(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  Digest digest;
  std::memcpy(digest.bytes.data(), canonical.digest, digest.bytes.size());
  return digest;
}

}  // namespace

std::string Digest::hex() const { return to_hex(bytes.data(), bytes.size()); }

Digest Digest::from_hex(std::string_view hex) {
  Digest digest;
  if (hex.size() != 2 * digest.bytes.size())
    throw Error(ErrorCode::kData, "digest", "not 32 hex digits: " + std::string(hex));
  for (size_t i = 0; i < hex.size(); ++i) {
    const char* digit = static_cast<const char*>(std::memchr(kHexDigits, hex[i], 16));
    if (!digit) throw Error(ErrorCode::kData, "digest", "not a hex digit in " + std::string(hex));
    digest.bytes[i / 2] = static_cast<uint8_t>(digest.bytes[i / 2] << 4 | (digit - kHexDigits));
  }
  return digest;
}

Digest digest_bytes(const void* data, size_t size_bytes) { return canonical(XXH3_128bits(data, size_bytes)); }

static_assert(sizeof(DigestStream) == sizeof(XXH3_state_t) && alignof(DigestStream) == alignof(XXH3_state_t));

void DigestStream::begin() { XXH3_128bits_reset(new (&state_) XXH3_state_t); }

void DigestStream::add(const void* data, size_t size_bytes) {
  XXH3_128bits_update(reinterpret_cast<XXH3_state_t*>(&state_), data, size_bytes);
}

Digest DigestStream::end() const {
  return canonical(XXH3_128bits_digest(reinterpret_cast<const XXH3_state_t*>(&state_)));
}

Digest digest_chain(const Digest* digests, size_t count) {
  static_assert(sizeof(Digest) == 16);
  return digest_bytes(digests, count * sizeof(Digest));
}

std::string sha256(std::string_view bytes) {
  uint8_t sum[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), sum, &size, EVP_sha256(), nullptr);
  return to_hex(sum, size);
}

}  // namespace faultline
