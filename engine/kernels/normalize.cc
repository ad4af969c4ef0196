#include "engine/kernels/normalize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/normalize.cc"
#include <hwy/foreach_target.h>

#include "engine/kernels/elementwise-inl.h"
#include "engine/kernels/normalize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void SubtractMean(const ElementwiseCall& call) {
  MapElements<2>(call, [](VF x, VF mean) HWY_ATTR { return hn::Sub(x, mean); });
}

void Normalize(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF x, VF mean, VF r) HWY_ATTR { return Normalized(x, mean, r); });
}

void ScaleAndShift(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF xhat, VF gamma, VF beta) HWY_ATTR { return hn::MulAdd(xhat, gamma, beta); });
}

void Multiply(const ElementwiseCall& call) {
  MapElements<2>(call, [](VF a, VF b) HWY_ATTR { return hn::Mul(a, b); });
}

void NormalizationGradient(const ElementwiseCall& call) {
  MapElements<5>(call, [](VF scale, VF dy, VF m1, VF xhat, VF m2)
                           HWY_ATTR { return GradientOfNormalized(scale, dy, m1, xhat, m2); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(SubtractMean);
HWY_EXPORT(Normalize);
HWY_EXPORT(ScaleAndShift);
HWY_EXPORT(Multiply);
HWY_EXPORT(NormalizationGradient);

}  // namespace

void subtract_mean(const ElementwiseCall& call) { HWY_DYNAMIC_DISPATCH(SubtractMean)(call); }
void normalize(const ElementwiseCall& call) { HWY_DYNAMIC_DISPATCH(Normalize)(call); }
void scale_and_shift(const ElementwiseCall& call) { HWY_DYNAMIC_DISPATCH(ScaleAndShift)(call); }
void multiply(const ElementwiseCall& call) { HWY_DYNAMIC_DISPATCH(Multiply)(call); }
void normalization_gradient(const ElementwiseCall& call) {
  HWY_DYNAMIC_DISPATCH(NormalizationGradient)(call);
}

}  // namespace faultline
#endif  // HWY_ONCE
