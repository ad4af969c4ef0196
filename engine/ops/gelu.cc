#include "engine/ops/gelu.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/gelu.cc"
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

HWY_INLINE VF OnePlusErf(VF x) {
  const VF scaled = hn::Mul(x, hn::Set(DF(), static_cast<float>(kInverseSqrt2)));
  return hn::Add(hn::Set(DF(), 1.0f), Erf(DF(), scaled));
}

void gelu_forward(const ElementwiseCall& call) {
  MapElements<1>(call, [](VF x) HWY_ATTR { return hn::Mul(hn::Mul(hn::Set(DF(), 0.5f), x), OnePlusErf(x)); });
}

void gelu_backward(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF dy, VF x, VF) HWY_ATTR {
    const VF cdf = hn::Mul(hn::Set(DF(), 0.5f), OnePlusErf(x));
    const VF square = hn::Mul(hn::Mul(hn::Set(DF(), -0.5f), x), x);
    const VF pdf = hn::Mul(Exp(DF(), square), hn::Set(DF(), static_cast<float>(kInverseSqrt2Pi)));
    return hn::Mul(dy, hn::Add(cdf, hn::Mul(x, pdf)));
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(gelu_forward);
HWY_EXPORT(gelu_backward);

struct Gelu {
  template <class T>
  static T one_plus_erf(T x) {
    return T(1) + error_function(x * static_cast<T>(kInverseSqrt2));
  }
  template <class T>
  static T value(T x) {
    return (T(0.5) * x) * one_plus_erf(x);
  }
  template <class T>
  static T gradient(T dy, T x, T) {
    const T cdf = T(0.5) * one_plus_erf(x);
    const T pdf = exponential((T(-0.5) * x) * x) * static_cast<T>(kInverseSqrt2Pi);
    return dy * (cdf + x * pdf);
  }
};

const RegisteredOp kGelu{"gelu", unary_op<Gelu>({.name = "gelu",
                                                 .numeric_class = NumericClass::kAsIs,
                                                 .forward =
                                                     [](const ElementwiseCall& call) {
                                                       HWY_DYNAMIC_DISPATCH(gelu_forward)
                                                       (call);
                                                     },
                                                 .backward =
                                                     [](const ElementwiseCall& call) {
                                                       HWY_DYNAMIC_DISPATCH(gelu_backward)
                                                       (call);
                                                     },
                                                 .error =
                                                     [](double x, double y) {
                                                       return gamma_f32(3) * std::fabs(x) +
                                                              gamma_f32(1) * std::fabs(y);
                                                     }})};

}  // namespace

Variable gelu(const Variable& x) { return apply(*kGelu, {x})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
