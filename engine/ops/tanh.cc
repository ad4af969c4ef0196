#include "engine/ops/tanh.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/tanh.cc"
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

void tanh_forward(const ElementwiseCall& call) {
  MapElements<1>(call, [](VF x) HWY_ATTR { return Tanh(DF(), x); });
}

void tanh_backward(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF y)
                           HWY_ATTR { return hn::Mul(dy, hn::Sub(hn::Set(DF(), 1.0f), hn::Mul(y, y))); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(tanh_forward);
HWY_EXPORT(tanh_backward);

struct Tanh {
  template <class T>
  static T value(T x) {
    return hyperbolic_tangent(x);
  }
  template <class T>
  static T gradient(T dy, T, T y) {
    return dy * (T(1) - y * y);
  }
};

const RegisteredOp kTanh{
    "tanh", unary_op<Tanh>({.name = "tanh",
                            .numeric_class = NumericClass::kAsIs,
                            .forward =
                                [](const ElementwiseCall& call) {
                                  HWY_DYNAMIC_DISPATCH(tanh_forward)
                                  (call);
                                },
                            .backward =
                                [](const ElementwiseCall& call) {
                                  HWY_DYNAMIC_DISPATCH(tanh_backward)
                                  (call);
                                },
                            .error = [](double, double y) { return gamma_f32(3) * std::fabs(y); }})};

}  // namespace

Variable tanh(const Variable& x) { return apply(*kTanh, {x})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
