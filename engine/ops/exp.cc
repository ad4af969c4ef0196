#include "engine/ops/exp.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/exp.cc"
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

void exp_forward(const ElementwiseCall& call) {
  MapElements<1>(call, [](VF x) HWY_ATTR { return Exp(DF(), x); });
}

void exp_backward(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF, VF y) HWY_ATTR { return hn::Mul(dy, y); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(exp_forward);
HWY_EXPORT(exp_backward);

struct Exp {
  template <class T>
  static T value(T x) {
    return exponential(x);
  }
  template <class T>
  static T gradient(T dy, T, T y) {
    return dy * y;
  }
};

const RegisteredOp kExp{
    "exp", unary_op<Exp>({.name = "exp",
                          .numeric_class = NumericClass::kF32,
                          .forward =
                              [](const ElementwiseCall& call) {
                                HWY_DYNAMIC_DISPATCH(exp_forward)
                                (call);
                              },
                          .backward =
                              [](const ElementwiseCall& call) {
                                HWY_DYNAMIC_DISPATCH(exp_backward)
                                (call);
                              },
                          .error = [](double, double y) { return gamma_f32(2) * y + 0x1p-149; }})};

}  // namespace

Variable exp(const Variable& x) { return apply(*kExp, {x})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
