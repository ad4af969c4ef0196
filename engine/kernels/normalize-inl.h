// The formulas of a normalisation (numerics.md 2.6), on vectors.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_KERNELS_NORMALIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_KERNELS_NORMALIZE_INL_H_
#undef FAULTLINE_KERNELS_NORMALIZE_INL_H_
#else
#define FAULTLINE_KERNELS_NORMALIZE_INL_H_
#endif

#include "engine/kernels/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {

HWY_INLINE VF Normalized(VF x, VF mean, VF r) { return hn::Mul(hn::Sub(x, mean), r); }

// The lanes of a sum with (x - mean)^2 added.
HWY_INLINE VF AddDeviation(VF lanes, VF x, VF mean) {
  const VF deviation = hn::Sub(x, mean);
  return hn::MulAdd(deviation, deviation, lanes);
}

// dx from the gradient dy of xhat and the means m1 of dy and m2 of dy * xhat.
HWY_INLINE VF GradientOfNormalized(VF scale, VF dy, VF m1, VF xhat, VF m2) {
  return hn::Mul(scale, hn::Sub(hn::Sub(dy, m1), hn::Mul(xhat, m2)));
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_KERNELS_NORMALIZE_INL_H_
