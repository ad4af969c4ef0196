#include "engine/tensor/block_digest.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "engine/base/cpu.h"

namespace faultline {
namespace {

// The unsigned integer of the element's width, the bits of its infinity and of its canonical NaN.
template <class B, B infinity, B nan>
struct PatternOf {
  using Bits = B;
  static constexpr Bits kInfinity = infinity, kNan = nan;
};
template <class T>
struct Pattern;
template <>
struct Pattern<F16> : PatternOf<uint16_t, 0x7c00, 0x7e00> {};
template <>
struct Pattern<Bf16> : PatternOf<uint16_t, 0x7f80, 0x7fc0> {};
template <>
struct Pattern<E4m3> : PatternOf<uint8_t, 0x7e, 0x7f> {};  // no infinity: the largest value
template <>
struct Pattern<E5m2> : PatternOf<uint8_t, 0x7c, 0x7e> {};
template <>
struct Pattern<float> : PatternOf<uint32_t, 0x7f800000, 0x7fc00000> {};
template <>
struct Pattern<double> : PatternOf<uint64_t, 0x7ff0000000000000, 0x7ff8000000000000> {};

template <class Bits>
Bits magnitude(Bits bits) {
  return static_cast<Bits>(bits & (std::numeric_limits<Bits>::max() / 2));
}

template <class P>
bool is_nan(typename P::Bits bits) {
  return magnitude(bits) > P::kInfinity;
}

template <class P, class Bits = typename P::Bits>
bool has_nan(const Bits* bits, int64_t count) {
  Bits largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, magnitude(bits[i]));
  return largest > P::kInfinity;
}

bool goes_on_vectors([[maybe_unused]] size_t size_bytes) {
#if defined(__x86_64__)
  return size_bytes >= kSmallestVectorBlock && kernels_use_avx512();
#else
  return false;
#endif
}

// Writes the digest of the bits as they are, and returns whether a NaN is among them.
template <class P, class Bits = typename P::Bits>
bool digest_and_find_nan(const Bits* bits, int64_t count, Digest& digest) {
  const size_t size_bytes = static_cast<size_t>(count) * sizeof(Bits);
#if defined(__x86_64__)
  if (goes_on_vectors(size_bytes)) {
    BlockSums sums;
    const bool found = add_to_block_avx512<Bits>(sums, bits, 0, size_bytes, size_bytes, P::kInfinity);
    digest = end_block_avx512(sums, size_bytes);
    return found;
  }
#endif
  digest = digest_bytes(bits, size_bytes);
  return has_nan<P>(bits, count);
}

// NaNs are rare, so numbers are copied and digested again only where they have one.
template <class T>
Digest digest_numbers(const T* numbers, int64_t count) {
  if constexpr (std::is_integral_v<T>) {
    return digest_bytes(numbers, static_cast<size_t>(count) * sizeof(T));
  } else {
    using P = Pattern<T>;
    using Bits = typename P::Bits;
    const Bits* bits = reinterpret_cast<const Bits*>(numbers);
    Digest as_it_is;
    if (!digest_and_find_nan<P>(bits, count, as_it_is)) return as_it_is;
    std::vector<Bits> canonical(bits, bits + count);
    for (Bits& b : canonical) b = is_nan<P>(b) ? P::kNan : b;
    return digest_bytes(canonical.data(), static_cast<size_t>(count) * sizeof(T));
  }
}

}  // namespace

Digest block_digest(Dtype dtype, const std::byte* bytes, int64_t size_bytes) {
  return visit(dtype, [&]<class T>() {
    return digest_numbers(reinterpret_cast<const T*>(bytes), size_bytes / static_cast<int64_t>(sizeof(T)));
  });
}

void BlockDigest::begin(Dtype dtype, int64_t size_bytes) {
  dtype_ = dtype;
  size_bytes_ = size_bytes;
  on_vectors_ = is_float(dtype) && goes_on_vectors(size_bytes);
  found_nan_ = false;
  taken_ = 0;
}

// Parts do not overlap, so one thread alone has the part that is next. It must not pay for more than that: an exchange
// would wait for all it has written past the caches.
void BlockDigest::add(int64_t begin, int64_t end, const std::byte* bytes) {
  if (taken_.load(std::memory_order_acquire) != begin) return;
  if (on_vectors_ && !ends_on_stripes(begin, end)) return;
  visit(dtype_, [&]<class T>() { add_numbers<T>(begin, end, bytes); });
  taken_.store(end, std::memory_order_release);
}

bool BlockDigest::ends_on_stripes(int64_t begin, int64_t end) const {
  if (begin % kStripeBytes != 0) return false;
  return end == size_bytes_ ? end - begin >= kStripeBytes : end % kStripeBytes == 0;
}

template <class T>
void BlockDigest::add_numbers(int64_t begin, int64_t end, const std::byte* bytes) {
  if constexpr (!std::is_integral_v<T>) {
    using P = Pattern<T>;
    using Bits = typename P::Bits;
    const Bits* bits = reinterpret_cast<const Bits*>(bytes);
#if defined(__x86_64__)
    if (on_vectors_) {
      found_nan_ |= add_to_block_avx512<Bits>(sums_, bits, begin, end, size_bytes_, P::kInfinity);
      return;
    }
#endif
    found_nan_ |= has_nan<P>(bits, (end - begin) / static_cast<int64_t>(sizeof(Bits)));
  }
  if (begin == 0) stream_.begin();
  stream_.add(bytes, end - begin);
}

std::optional<Digest> BlockDigest::end() const {
  if (taken_ != size_bytes_ || found_nan_) return {};
#if defined(__x86_64__)
  if (on_vectors_) return end_block_avx512(sums_, size_bytes_);
#endif
  return stream_.end();
}

}  // namespace faultline
