#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "engine/numerics/dtype.h"

namespace faultline {

// An exact value with a bound of the absolute error that f32 arithmetic makes of it. A formula evaluated on
// these gives its own error bound: each operation carries its operands' errors on and adds one rounding to
// nearest.
// Source:      Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 2.2.
struct Bounded {
  double value = 0;
  double error = 0;
};

inline Bounded rounded(double value, double error) {
  constexpr double kHalfSmallest = 0x1p-150;  // of the subnormals
  return {value, error + unit_roundoff(Dtype::kF32) * (std::fabs(value) + error) + kHalfSmallest};
}

inline double product_error(Bounded a, Bounded b) {
  return std::fabs(a.value) * b.error + a.error * std::fabs(b.value) + a.error * b.error;
}

inline Bounded operator-(Bounded a) { return {-a.value, a.error}; }
inline Bounded operator+(Bounded a, Bounded b) { return rounded(a.value + b.value, a.error + b.error); }
inline Bounded operator-(Bounded a, Bounded b) { return a + -b; }
inline Bounded operator*(Bounded a, Bounded b) { return rounded(a.value * b.value, product_error(a, b)); }
inline Bounded operator/(Bounded a, Bounded b) {
  const double quotient = a.value / b.value, room = std::fabs(b.value) - b.error;
  return rounded(quotient, room > 0 ? (a.error + std::fabs(quotient) * b.error) / room : INFINITY);
}
inline Bounded fma(Bounded a, Bounded b, Bounded c) {
  return rounded(std::fma(a.value, b.value, c.value), product_error(a, b) + c.error);
}
inline Bounded sqrt(Bounded a) {
  const double root = std::sqrt(a.value), low = std::sqrt(std::max(a.value - a.error, 0.0));
  return rounded(root, std::max(root - low, std::sqrt(a.value + a.error) - root));
}

// A value without error, as an operand of a formula.
template <class T>
T exactly(double value) {
  if constexpr (std::is_same_v<T, Bounded>)
    return {value, 0};
  else
    return static_cast<T>(value);
}

// A setting as the formulas read it: rounded once to f32, or kept in f64.
template <class T>
T coefficient(double value) {
  if constexpr (std::is_same_v<T, Bounded>)
    return rounded(value, 0);
  else
    return exactly<T>(value);
}

}  // namespace faultline
