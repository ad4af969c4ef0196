#include "engine/tensor/digest.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/tensor/digest_block.h"

namespace faultline {
namespace {

constexpr int64_t kBlockBytes = 64 * 1024;
constexpr int64_t kBlocksPerThread = 2;  // worth waking one

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

// Digest of one block; NaNs are rare, so the block is copied and digested again only where it has one.
template <class T>
Digest digest_block(const T* block, int64_t count) {
  if constexpr (std::is_integral_v<T>) {
    return digest_bytes(block, static_cast<size_t>(count) * sizeof(T));
  } else {
    using P = Pattern<T>;
    using Bits = typename P::Bits;
    const Bits* bits = reinterpret_cast<const Bits*>(block);
    Digest as_it_is;
    if (!digest_and_find_nan<P>(bits, count, as_it_is)) return as_it_is;
    std::vector<Bits> canonical(bits, bits + count);
    for (Bits& b : canonical) b = is_nan<P>(b) ? P::kNan : b;
    return digest_bytes(canonical.data(), static_cast<size_t>(count) * sizeof(T));
  }
}

Digest digest_header(const Tensor& tensor) {
  std::vector<int64_t> header = {static_cast<int64_t>(tensor.dtype()), tensor.rank()};
  header.insert(header.end(), tensor.shape().begin(), tensor.shape().end());
  return digest_bytes(header.data(), header.size() * sizeof(int64_t));
}

}  // namespace

Digest digest(const Tensor& tensor) {
  const Tensor whole = tensor.contiguous();
  std::vector<Digest> parts = {digest_header(whole)};
  visit(whole.dtype(), [&]<class T>() {
    constexpr int64_t kBlock = kBlockBytes / sizeof(T);
    const int64_t blocks = (whole.size() + kBlock - 1) / kBlock;
    parts.resize(1 + blocks);
    parallel_for("digest", blocks, kBlocksPerThread, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t begin = i * kBlock;
        parts[1 + i] = digest_block(whole.data<T>() + begin, std::min(kBlock, whole.size() - begin));
      }
    });
  });
  return digest_chain(parts.data(), parts.size());
}

}  // namespace faultline
