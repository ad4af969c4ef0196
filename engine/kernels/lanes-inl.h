// The ordered sum of numerics.md 2.2 over 64 lanes, on vectors.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_KERNELS_LANES_INL_H_
#undef FAULTLINE_KERNELS_LANES_INL_H_
#else
#define FAULTLINE_KERNELS_LANES_INL_H_
#endif

#include <algorithm>

#include "engine/kernels/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {

constexpr int64_t kSumLanes = 64;

// Adds terms in rising index: term i goes to lane i mod 64, in whatever pieces they arrive.
class LaneSum {
 public:
  // Adds the next `n` terms.
  template <class T>
  HWY_INLINE void add(const T* terms, int64_t n) {
    add(n, [terms](auto vector, int64_t i) HWY_ATTR { return vector.load(terms + i); });
  }

  // Adds the next `n` terms; term(vector, i) returns those that begin at i.
  template <class Term>
  HWY_INLINE void add(int64_t n, Term term) {
    fold(n, [&](VF lanes, auto vector, int64_t i) HWY_ATTR { return hn::Add(lanes, term(vector, i)); });
  }

  // step(lanes, vector, i) returns the lanes with the terms that begin at i added.
  template <class Step>
  HWY_INLINE void fold(int64_t n, Step step) {
    int64_t i = 0;
    if (n >= 2 * kSumLanes) i = FoldRounds(n, step);
    while (i < n) {
      const int64_t length = std::min(kSumLanes - next_, n - i);
      float* lanes = lanes_ + next_;
      ForVectors(length, [&](auto vector, int64_t j) HWY_ATTR {
        vector.store(step(vector.load(lanes + j), vector, i + j), lanes + j);
      });
      used_ = std::max(used_, next_ + length);
      next_ = (next_ + length) % kSumLanes;
      i += length;
    }
  }

  // The lanes joined by the tree (j, j+32), (j, j+16), ... (j, j+1). A lane without a term is +0, and adding
  // that changes nothing, since no lane is -0.
  HWY_INLINE float total() {
    for (int64_t half = kSumLanes / 2; half > 0; half /= 2) {
      for (int64_t j = 0; j < half && j + half < used_; ++j) lanes_[j] += lanes_[j + half];
    }
    return lanes_[0];
  }

 private:
  // Whole rounds over the lanes, which stay in registers: the first holds the lanes from next_ on. Returns how many
  // terms that took.
  template <class Step>
  HWY_INLINE int64_t FoldRounds(int64_t n, Step step) {
    constexpr int64_t kVector = hn::MaxLanes(DF()), kVectors = kSumLanes / kVector;
    float turned[kSumLanes];
    std::rotate_copy(lanes_, lanes_ + next_, lanes_ + kSumLanes, turned);
    VF lanes[kVectors];
#pragma GCC unroll 16
    for (int64_t v = 0; v < kVectors; ++v) lanes[v] = hn::LoadU(DF(), turned + v * kVector);
    int64_t i = 0;
    for (; i + kSumLanes <= n; i += kSumLanes) {
#pragma GCC unroll 16
      for (int64_t v = 0; v < kVectors; ++v) lanes[v] = step(lanes[v], WholeVector(), i + v * kVector);
    }
#pragma GCC unroll 16
    for (int64_t v = 0; v < kVectors; ++v) hn::StoreU(lanes[v], DF(), turned + v * kVector);
    std::rotate_copy(turned, turned + kSumLanes - next_, turned + kSumLanes, lanes_);
    used_ = kSumLanes;
    return i;
  }

  alignas(64) float lanes_[kSumLanes] = {};
  int64_t next_ = 0, used_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_KERNELS_LANES_INL_H_
