#include "engine/ops/sigmoid.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/sigmoid.cc"
#include <hwy/foreach_target.h>

#include "engine/kernels/elementwise-inl.h"
#include "engine/kernels/math-inl.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/functions.h"
#include "engine/ops/unary.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void sigmoid_forward(const ElementwiseCall& call) {
  MapElements<1>(call, [](VF x) HWY_ATTR { return Sigmoid(DF(), x); });
}

void sigmoid_backward(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF y)
                           HWY_ATTR { return hn::Mul(dy, hn::Mul(y, hn::Sub(hn::Set(DF(), 1.0f), y))); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(sigmoid_forward);
HWY_EXPORT(sigmoid_backward);

struct Sigmoid {
  template <class T>
  static T value(T x) {
    return logistic(x);
  }
  template <class T>
  static T gradient(T dy, T, T y) {
    return dy * (y * (T(1) - y));
  }
};

const RegisteredOp kSigmoid{"sigmoid",
                            unary_op<Sigmoid>({.name = "sigmoid",
                                               .numeric_class = NumericClass::kAsIs,
                                               .forward =
                                                   [](const ElementwiseCall& call) {
                                                     HWY_DYNAMIC_DISPATCH(sigmoid_forward)
                                                     (call);
                                                   },
                                               .backward =
                                                   [](const ElementwiseCall& call) {
                                                     HWY_DYNAMIC_DISPATCH(sigmoid_backward)
                                                     (call);
                                                   },
                                               .error = [](double, double y) { return gamma_f32(5) * y; }})};

}  // namespace

Variable sigmoid(const Variable& x) { return apply(*kSigmoid, {x})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
