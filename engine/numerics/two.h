#pragma once

#include <array>
#include <cmath>

namespace faultline {

// An f64 value carried as hi + lo with |lo| <= ulp(hi) / 2: about 106 bits.
struct Two {
  double hi = 0, lo = 0;
};

// Returns a + b exactly, any magnitudes (Moller 1965, Knuth 1969).
inline Two two_sum(double a, double b) {
  const double sum = a + b, b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

// Returns a * b exactly where the low part does not underflow.
inline Two two_product(double a, double b) {
  const double product = a * b;
  return {product, std::fma(a, b, -product)};
}

// Both with a relative error of a few 2^-104; the sum only if it does not cancel.
inline Two operator+(Two a, Two b) {
  const Two sum = two_sum(a.hi, b.hi);
  return two_sum(sum.hi, sum.lo + (a.lo + b.lo));
}
inline Two operator*(Two a, Two b) {
  const Two product = two_product(a.hi, b.hi);
  return two_sum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}

// 1 / k! for k = 0 .. 20, each rounded once: these factorials are exact in f64.
constexpr std::array<double, 21> kInverseFactorial = [] {
  std::array<double, 21> inverse{1};
  double factorial = 1;
  for (size_t k = 1; k < inverse.size(); ++k) inverse[k] = 1 / (factorial *= static_cast<double>(k));
  return inverse;
}();

}  // namespace faultline
