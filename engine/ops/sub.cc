#include "engine/ops/sub.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/sub.cc"
#include <hwy/foreach_target.h>

#include "engine/kernels/elementwise-inl.h"
#include "engine/ops/binary.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void sub_forward(const ElementwiseCall& call) {
  MapElements<2>(call, [](VF a, VF b) HWY_ATTR { return hn::Sub(a, b); });
}

void sub_lhs_gradient(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF) HWY_ATTR { return dy; });
}

void sub_rhs_gradient(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF) HWY_ATTR { return hn::Neg(dy); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(sub_forward);
HWY_EXPORT(sub_lhs_gradient);
HWY_EXPORT(sub_rhs_gradient);

struct Sub {
  template <class T>
  static T value(T a, T b) {
    return a - b;
  }
  template <class T>
  static T lhs_gradient(T dy, T, T) {
    return dy;
  }
  template <class T>
  static T rhs_gradient(T dy, T, T) {
    return -dy;
  }
};

const RegisteredOp kSub{"sub", binary_op<Sub>({
                                   .name = "sub",
                                   .forward =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(sub_forward)
                                         (call);
                                       },
                                   .lhs_gradient =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(sub_lhs_gradient)
                                         (call);
                                       },
                                   .rhs_gradient =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(sub_rhs_gradient)
                                         (call);
                                       },
                               })};

}  // namespace

Variable sub(const Variable& lhs, const Variable& rhs) { return apply(*kSub, {lhs, rhs})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
