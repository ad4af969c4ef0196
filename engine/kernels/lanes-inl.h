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
    for (int64_t i = 0; i < n;) {
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
  alignas(64) float lanes_[kSumLanes] = {};
  int64_t next_ = 0, used_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_KERNELS_LANES_INL_H_
