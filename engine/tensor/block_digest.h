#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/base/digest.h"
#include "engine/numerics/dtype.h"
#include "engine/tensor/block_sums.h"

namespace faultline {

// A tensor's bytes are digested in blocks of so many.
inline constexpr int64_t kBlockBytes = 64 * 1024;

// Returns the digest of one block of numbers, every NaN read as the canonical one.
Digest block_digest(Dtype dtype, const std::byte* bytes, int64_t size_bytes);

// The same of a block whose bytes come part after part.
class BlockDigest {
 public:
  void begin(Dtype dtype, int64_t size_bytes);

  // Takes bytes [begin, end) of the block, if all those before them were taken. From any thread, but none of them twice.
  void add(int64_t begin, int64_t end, const std::byte* bytes);

  // The digest, if all bytes were taken and no NaN was among them.
  std::optional<Digest> end() const;

 private:
  // As sums on vectors need it.
  bool ends_on_stripes(int64_t begin, int64_t end) const;
  template <class T>
  void add_numbers(int64_t begin, int64_t end, const std::byte* bytes);

  Dtype dtype_ = Dtype::kF32;
  int64_t size_bytes_ = 0;
  std::atomic<int64_t> taken_ = 0;  // bytes
  bool found_nan_ = false, on_vectors_ = false;
  BlockSums sums_;  // where on vectors, else
  DigestStream stream_;
};

}  // namespace faultline
