#include "engine/ops/add.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/add.cc"
#include <hwy/foreach_target.h>

#include "engine/kernels/elementwise-inl.h"
#include "engine/ops/binary.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void add_forward(const ElementwiseCall& call) {
  MapElements<2>(call, [](VF a, VF b) HWY_ATTR { return hn::Add(a, b); });
}

void add_lhs_gradient(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF) HWY_ATTR { return dy; });
}

void add_rhs_gradient(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF) HWY_ATTR { return dy; });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(add_forward);
HWY_EXPORT(add_lhs_gradient);
HWY_EXPORT(add_rhs_gradient);

struct Add {
  template <class T>
  static T value(T a, T b) {
    return a + b;
  }
  template <class T>
  static T lhs_gradient(T dy, T, T) {
    return dy;
  }
  template <class T>
  static T rhs_gradient(T dy, T, T) {
    return dy;
  }
};

const RegisteredOp kAdd{"add", binary_op<Add>({
                                   .name = "add",
                                   .forward =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(add_forward)
                                         (call);
                                       },
                                   .lhs_gradient =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(add_lhs_gradient)
                                         (call);
                                       },
                                   .rhs_gradient =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(add_rhs_gradient)
                                         (call);
                                       },
                                   .passes_gradient = true,
                               })};

}  // namespace

Variable add(const Variable& lhs, const Variable& rhs) { return apply(*kAdd, {lhs, rhs})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
