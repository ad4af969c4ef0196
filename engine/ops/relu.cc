#include "engine/ops/relu.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/relu.cc"
#include <hwy/foreach_target.h>

#include "engine/kernels/elementwise-inl.h"
#include "engine/kernels/relu-inl.h"
#include "engine/ops/unary.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void relu_forward(const ElementwiseCall& call) {
  MapElements<1>(call, [](VF x) HWY_ATTR { return PassedByRelu(x, x); });
}

// y is above zero or NaN where x is, and the op above has just read it.
void relu_backward(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF y) HWY_ATTR { return PassedByRelu(y, dy); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(relu_forward);
HWY_EXPORT(relu_backward);

struct Relu {
  template <class T>
  static T value(T x) {
    return x > 0 || std::isnan(x) ? x : T(0);
  }
  template <class T>
  static T gradient(T dy, T x, T) {
    return x > 0 || std::isnan(x) ? dy : T(0);
  }
};

const RegisteredOp kRelu{"relu", unary_op<Relu>({.name = "relu",
                                                 .numeric_class = NumericClass::kAsIs,
                                                 .forward =
                                                     [](const ElementwiseCall& call) {
                                                       HWY_DYNAMIC_DISPATCH(relu_forward)
                                                       (call);
                                                     },
                                                 .backward =
                                                     [](const ElementwiseCall& call) {
                                                       HWY_DYNAMIC_DISPATCH(relu_backward)
                                                       (call);
                                                     }})};

}  // namespace

Variable relu(const Variable& x) { return apply(*kRelu, {x})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
