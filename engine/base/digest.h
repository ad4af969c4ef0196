#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace faultline {

// 128 bits that stand for a sequence of bytes (XXH3-128, canonical big-endian form).
struct Digest {
  std::array<uint8_t, 16> bytes{};

  std::string hex() const;
  static Digest from_hex(std::string_view hex);  // Throws kData.
  auto operator<=>(const Digest&) const = default;
};

// Returns the XXH3-128 of the bytes.
Digest digest_bytes(const void* data, size_t size_bytes);
inline Digest digest_text(std::string_view text) { return digest_bytes(text.data(), text.size()); }

// The digest of bytes that come part after part.
class DigestStream {
 public:
  void begin();  // before anything else
  void add(const void* data, size_t size_bytes);
  Digest end() const;

 private:
  alignas(64) std::array<std::byte, 576> state_;
};

// Returns the digest of a list of digests, in order.
Digest digest_chain(const Digest* digests, size_t count);

// Lower-case SHA-256 of the bytes.
std::string sha256(std::string_view bytes);

}  // namespace faultline
