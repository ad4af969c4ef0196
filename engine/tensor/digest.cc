#include "engine/tensor/digest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <list>
#include <memory_resource>
#include <type_traits>
#include <vector>

#include "engine/base/cpu.h"
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

Digest digest_header(const Tensor& tensor, std::pmr::memory_resource* memory) {
  std::pmr::vector<int64_t> header({static_cast<int64_t>(tensor.dtype()), tensor.rank()}, memory);
  header.insert(header.end(), tensor.shape().begin(), tensor.shape().end());
  return digest_bytes(header.data(), header.size() * sizeof(int64_t));
}

// What one thread digests at once. It has all that the thread needs: what another core wrote is slow to read.
struct Block {
  Dtype dtype;
  const std::byte* bytes;
  int64_t size_bytes;
  int64_t range;  // which thread's it is
  size_t part;    // where its digest goes
};

Digest digest_block(const Block& block) {
  return visit(block.dtype, [&]<class T>() {
    return digest_elements(reinterpret_cast<const T*>(block.bytes),
                           block.size_bytes / static_cast<int64_t>(sizeof(T)));
  });
}

}  // namespace

std::vector<Digest> digests(const std::vector<const Tensor*>& tensors) {
  // An op has few outputs and most of them are small: what follows then takes nothing from the heap.
  std::array<std::byte, 4096> on_the_stack;
  std::pmr::monotonic_buffer_resource memory(on_the_stack.data(), on_the_stack.size());
  std::list<Tensor> copies;
  std::pmr::vector<Block> blocks(&memory);
  std::pmr::vector<Digest> parts(&memory);  // of each tensor its header and its blocks
  std::pmr::vector<size_t> ends(&memory);
  blocks.reserve(tensors.size());
  parts.reserve(2 * tensors.size());
  ends.reserve(tensors.size());
  int64_t ranges = 1;
  for (const Tensor* tensor : tensors) {
    if (!tensor->is_contiguous()) tensor = &copies.emplace_back(tensor->contiguous());
    parts.push_back(digest_header(*tensor, &memory));
    // Each tensor is shared as parallel_for shares it among the threads that write it: what another core has in its
    // caches takes twice as long to read as what is in one's own.
    const auto* const bytes = static_cast<const std::byte*>(tensor->raw());
    const int64_t size_bytes = tensor->size_bytes(),
                  own_ranges = std::clamp<int64_t>(size_bytes / kBytesPerThread, 1, threads());
    ranges = std::max(ranges, own_ranges);
    for (int64_t begin = 0; begin < size_bytes; begin += kBlockBytes) {
      const int64_t size = std::min(kBlockBytes, size_bytes - begin), middle = begin + size / 2;
      blocks.push_back(
          {tensor->dtype(), bytes + begin, size, middle * own_ranges / size_bytes, parts.size()});
      parts.emplace_back();
    }
    ends.push_back(parts.size());
  }
  parallel_for("digest", ranges, 1, [&](int64_t first, int64_t last) {
    for (const Block& block : blocks) {
      if (block.range >= first && block.range < last) parts[block.part] = digest_block(block);
    }
  });
  std::vector<Digest> chained;
  chained.reserve(tensors.size());
  size_t begin = 0;
  for (const size_t end : ends) {
    chained.push_back(digest_chain(&parts[begin], end - begin));
    begin = end;
  }
  return chained;
}

Digest digest(const Tensor& tensor) { return digests({&tensor})[0]; }

}  // namespace faultline
