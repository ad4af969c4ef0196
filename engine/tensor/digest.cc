#include "engine/tensor/digest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/tensor/digest_block.h"

namespace faultline {
namespace {

constexpr int64_t kBlockBytes = 64 * 1024;
constexpr int64_t kBytesPerThread = kBlockBytes;  // worth waking one

// The unsigned integer of the element's width, the bits of its infinity and of its canonical NaN.
template <class T>
struct Pattern;
template <>
struct Pattern<F16> {
  using Bits = uint16_t;
  static constexpr Bits kInfinity = 0x7c00, kNan = 0x7e00;
};
template <>
struct Pattern<Bf16> {
  using Bits = uint16_t;
  static constexpr Bits kInfinity = 0x7f80, kNan = 0x7fc0;
};
template <>
struct Pattern<E4m3> {
  using Bits = uint8_t;
  static constexpr Bits kInfinity = 0x7e, kNan = 0x7f;  // no infinity: the largest value
};
template <>
struct Pattern<E5m2> {
  using Bits = uint8_t;
  static constexpr Bits kInfinity = 0x7c, kNan = 0x7e;
};
template <>
struct Pattern<float> {
  using Bits = uint32_t;
  static constexpr Bits kInfinity = 0x7f800000, kNan = 0x7fc00000;
};
template <>
struct Pattern<double> {
  using Bits = uint64_t;
  static constexpr Bits kInfinity = 0x7ff0000000000000, kNan = 0x7ff8000000000000;
};

template <class Bits>
Bits magnitude(Bits bits) {
  return static_cast<Bits>(bits & (std::numeric_limits<Bits>::max() / 2));
}

template <class P>
bool is_nan(typename P::Bits bits) {
  return magnitude(bits) > P::kInfinity;
}

// Writes the digest of the bits as they are, and returns whether a NaN is among them.
template <class P, class Bits = typename P::Bits>
bool digest_and_find_nan(const Bits* bits, int64_t count, Digest& digest) {
  const size_t size_bytes = static_cast<size_t>(count) * sizeof(Bits);
#if defined(__x86_64__)
  if (size_bytes >= kSmallestVectorBlock && kernels_use_avx512())
    return digest_block_avx512<Bits>(bits, size_bytes, P::kInfinity, digest);
#endif
  Bits largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, magnitude(bits[i]));
  digest = digest_bytes(bits, size_bytes);
  return largest > P::kInfinity;
}

// Digest of some elements; NaNs are rare, so these are copied and digested again only where they have one.
template <class T>
Digest digest_elements(const T* elements, int64_t count) {
  if constexpr (std::is_integral_v<T>) {
    return digest_bytes(elements, static_cast<size_t>(count) * sizeof(T));
  } else {
    using P = Pattern<T>;
    using Bits = typename P::Bits;
    const Bits* bits = reinterpret_cast<const Bits*>(elements);
    Digest as_it_is;
    if (!digest_and_find_nan<P>(bits, count, as_it_is)) return as_it_is;
    std::vector<Bits> canonical(bits, bits + count);
    for (Bits& b : canonical) b = is_nan<P>(b) ? P::kNan : b;
    return digest_bytes(canonical.data(), static_cast<size_t>(count) * sizeof(T));
  }
}

Digest digest_header(const Tensor& tensor) {
  std::array<int64_t, 16> header = {static_cast<int64_t>(tensor.dtype()), tensor.rank()};
  const auto size = static_cast<size_t>(2 + tensor.rank());
  if (size > header.size()) {
    throw Error(ErrorCode::kShape, "digest", tensor.describe() + " has more axes than a digest has room for");
  }
  std::copy(tensor.shape().begin(), tensor.shape().end(), header.begin() + 2);
  return digest_bytes(header.data(), size * sizeof(int64_t));
}

Digest digest_elements(Dtype dtype, const std::byte* bytes, int64_t size_bytes) {
  return visit(dtype, [&]<class T>() {
    return digest_elements(reinterpret_cast<const T*>(bytes), size_bytes / static_cast<int64_t>(sizeof(T)));
  });
}

}  // namespace

void DigestBlocks::begin(TensorList tensors, bool keeps) {
  elements_.clear();
  blocks_.clear();
  parts_.clear();
  ends_.clear();
  size_bytes_ = 0;
  shares_ = 1;
  for (const Tensor* tensor : tensors) {
    Tensor copy;
    if (!tensor->is_contiguous()) tensor = &(copy = tensor->contiguous());
    if (keeps || copy.defined()) elements_.push_back(tensor->storage());
    parts_.push_back(digest_header(*tensor));
    const auto* const bytes = static_cast<const std::byte*>(tensor->raw());
    const int64_t size_bytes = tensor->size_bytes();
    size_bytes_ += size_bytes;
    shares_ = std::max(shares_, size_bytes / kBytesPerThread);
    for (int64_t begin = 0; begin < size_bytes; begin += kBlockBytes) {
      blocks_.push_back(
          {tensor->dtype(), bytes + begin, std::min(kBlockBytes, size_bytes - begin), parts_.size()});
      parts_.emplace_back();
    }
    ends_.push_back(parts_.size());
  }
}

void DigestBlocks::digest_block(int64_t i) {
  const Block& block = blocks_[i];
  parts_[block.part] = digest_elements(block.dtype, block.bytes, block.size_bytes);
}

// A large tensor is shared as parallel_for shares it among the threads that write it: what another core has in its
// caches takes twice as long to read as what is in one's own.
void DigestBlocks::digest_all() {
  parallel_for("digest", count(), count() / shares_, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) digest_block(i);
  });
}

void DigestBlocks::end() {
  elements_.clear();
  digests_.clear();
  size_t begin = 0;
  for (const size_t end : ends_) {
    digests_.push_back(digest_chain(&parts_[begin], end - begin));
    begin = end;
  }
}

const std::vector<Digest>& DigestBlocks::digest_now(TensorList tensors) {
  begin(tensors, false);
  digest_all();
  end();
  return digests_;
}

// On one thread each tensor in turn: the lists of DigestBlocks would be read from far caches, step after step.
Digest digest(const Tensor& tensor) {
  if (threads() > 1 && tensor.size_bytes() > kBytesPerThread) {
    thread_local DigestBlocks blocks;  // keeps its memory
    return blocks.digest_now(std::array{&tensor})[0];
  }
  if (!tensor.is_contiguous()) return digest(tensor.contiguous());
  const auto* const bytes = static_cast<const std::byte*>(tensor.raw());
  const int64_t size_bytes = tensor.size_bytes();
  thread_local std::vector<Digest> parts;
  parts.assign(1, digest_header(tensor));
  for (int64_t begin = 0; begin < size_bytes; begin += kBlockBytes) {
    parts.push_back(
        digest_elements(tensor.dtype(), bytes + begin, std::min(kBlockBytes, size_bytes - begin)));
  }
  return digest_chain(parts.data(), parts.size());
}

}  // namespace faultline
