#include "engine/ops/mul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/mul.cc"
#include <hwy/foreach_target.h>

#include "engine/kernels/elementwise-inl.h"
#include "engine/ops/binary.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void mul_forward(const ElementwiseCall& call) {
  MapElements<2>(call, [](VF a, VF b) HWY_ATTR { return hn::Mul(a, b); });
}

void mul_lhs_gradient(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF b) HWY_ATTR { return hn::Mul(dy, b); });
}

void mul_rhs_gradient(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF a, VF) HWY_ATTR { return hn::Mul(dy, a); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(mul_forward);
HWY_EXPORT(mul_lhs_gradient);
HWY_EXPORT(mul_rhs_gradient);

struct Mul {
  template <class T>
  static T value(T a, T b) {
    return a * b;
  }
  template <class T>
  static T lhs_gradient(T dy, T, T b) {
    return dy * b;
  }
  template <class T>
  static T rhs_gradient(T dy, T a, T) {
    return dy * a;
  }
};

const RegisteredOp kMul{"mul", binary_op<Mul>({
                                   .name = "mul",
                                   .forward =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(mul_forward)
                                         (call);
                                       },
                                   .lhs_gradient =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(mul_lhs_gradient)
                                         (call);
                                       },
                                   .rhs_gradient =
                                       [](const ElementwiseCall& call) {
                                         HWY_DYNAMIC_DISPATCH(mul_rhs_gradient)
                                         (call);
                                       },
                               })};

}  // namespace

Variable mul(const Variable& lhs, const Variable& rhs) { return apply(*kMul, {lhs, rhs})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
