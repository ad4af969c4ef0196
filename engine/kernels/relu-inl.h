// relu's test (numerics.md 2.6), on vectors: what an op does with it, and what is fused with others does.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_KERNELS_RELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_KERNELS_RELU_INL_H_
#undef FAULTLINE_KERNELS_RELU_INL_H_
#else
#define FAULTLINE_KERNELS_RELU_INL_H_
#endif

#include "engine/kernels/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {

// Returns `value` where x is above zero or NaN, else +0. relu(x) passes where x does: it stands in for x in the gradient.
HWY_INLINE VF PassedByRelu(VF x, VF value) { return hn::IfThenZeroElse(hn::Le(x, hn::Zero(DF())), value); }

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_KERNELS_RELU_INL_H_
