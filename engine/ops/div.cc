#include "engine/ops/div.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/div.cc"
#include <hwy/foreach_target.h>

#include "engine/kernels/elementwise-inl.h"
#include "engine/ops/binary.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void div_forward(const ElementwiseCall& call) {
  MapElements<2>(call, [](VF a, VF b) HWY_ATTR { return hn::Div(a, b); });
}

void div_lhs_gradient(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF b) HWY_ATTR { return hn::Div(dy, b); });
}

void div_rhs_gradient(const ElementwiseCall& call) {
  MapElements<3>(call,
                 [](VF dy, VF a, VF b) HWY_ATTR { return hn::Div(hn::Neg(hn::Mul(dy, hn::Div(a, b))), b); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(div_forward);
HWY_EXPORT(div_lhs_gradient);
HWY_EXPORT(div_rhs_gradient);

struct Div {
  template <class T>
  static T value(T a, T b) {
    return a / b;
  }
  template <class T>
  static T lhs_gradient(T dy, T, T b) {
    return dy / b;
  }
  template <class T>
  static T rhs_gradient(T dy, T a, T b) {
    return -(dy * (a / b)) / b;
  }
};

const RegisteredOp kDiv{"div", binary_op<Div>({
                                   .name = "div",
                                   .forward =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(div_forward)
                                         (call);
                                       },
                                   .lhs_gradient =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(div_lhs_gradient)
                                         (call);
                                       },
                                   .rhs_gradient =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(div_rhs_gradient)
                                         (call);
                                       },
                                   .positive_rhs = true,
                               })};

}  // namespace

Variable div(const Variable& lhs, const Variable& rhs) { return apply(*kDiv, {lhs, rhs})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
