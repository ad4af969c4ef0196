#include "engine/ops/log.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/log.cc"
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

void log_forward(const ElementwiseCall& call) {
  MapElements<1>(call, [](VF x) HWY_ATTR { return Log(DF(), x); });
}

void log_backward(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF x, VF) HWY_ATTR { return hn::Div(dy, x); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(log_forward);
HWY_EXPORT(log_backward);

struct Log {
  template <class T>
  static T value(T x) {
    return logarithm(x);
  }
  template <class T>
  static T gradient(T dy, T x, T) {
    return dy / x;
  }
};

const RegisteredOp kLog{"log",
                        unary_op<Log>({.name = "log",
                                       .numeric_class = NumericClass::kF32,
                                       .forward =
                                           [](const ElementwiseCall& call) {
                                             HWY_DYNAMIC_DISPATCH(log_forward)
                                             (call);
                                           },
                                       .backward =
                                           [](const ElementwiseCall& call) {
                                             HWY_DYNAMIC_DISPATCH(log_backward)
                                             (call);
                                           },
                                       .error = [](double, double y) { return gamma_f32(2) * std::fabs(y); },
                                       .positive_samples = true})};

}  // namespace

Variable log(const Variable& x) { return apply(*kLog, {x})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
