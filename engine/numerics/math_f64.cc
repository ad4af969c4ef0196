#include <limits>

#include "engine/numerics/math.h"
#include "engine/numerics/two.h"

namespace faultline {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Two kLog2{0x1.62e42fefa3800p-1, 0x1.ef35793c76730p-45};  // hi has 42 bits: n * hi is exact.
constexpr Two kTwoOverSqrtPi{0x1.20dd750429b6dp+0, 0x1.1ae3a914fed80p-56};

// Returns e^(x.hi + x.lo), finite x: 2^n e^r, the Taylor polynomial of degree 13 on |r| <= log(2) / 2.
double exp_two(Two x) {
  if (x.hi > 710) return kInfinity;
  if (x.hi < -746) return 0;
  const double n = std::nearbyint(x.hi * 0x1.71547652b82fep+0);
  const Two r = two_sum(std::fma(-n, kLog2.hi, x.hi), std::fma(-n, kLog2.lo, x.lo));
  double q = 0;
  for (size_t k = 13; k >= 2; --k) q = std::fma(q, r.hi, kInverseFactorial[k]);
  const Two sum = two_sum(1, r.hi);
  const double p = sum.hi + (sum.lo + std::fma(q, r.hi * r.hi, std::fma(r.lo, r.hi, r.lo)));
  return std::ldexp(p, static_cast<int>(n));
}

// Returns log x with about 2^-66 relative error, finite x > 0: x = 2^e m with m in [sqrt(1/2), sqrt(2)),
// log m = 2 atanh(s) with s = (m - 1) / (m + 1), the Taylor polynomial of degree 31.
Two log_two(double x) {
  int e;
  double m = std::frexp(x, &e);
  if (m < 0x1.6a09e667f3bcdp-1) {
    m *= 2;
    e -= 1;
  }
  const Two denominator = two_sum(m, 1);
  const double quotient = (m - 1) / denominator.hi;
  const double rest = std::fma(-quotient, denominator.hi, m - 1) - quotient * denominator.lo;
  const Two s{quotient, rest / denominator.hi};
  const Two z = s * s;
  double q = 0;
  for (int k = 31; k >= 7; k -= 2) q = std::fma(q, z.hi, 1.0 / k);
  const Two third{1.0 / 3, std::fma(-3.0, 1.0 / 3, 1.0) / 3},
      fifth{1.0 / 5, std::fma(-5.0, 1.0 / 5, 1.0) / 5};
  const Two atanh = s + s * (z * (third + z * (fifth + z * Two{q, 0})));
  return two_sum(e * kLog2.hi, 0) + (Two{2 * atanh.hi, 2 * atanh.lo} + Two{e * kLog2.lo, 0});
}

bool is_odd_integer(double y) { return std::fabs(std::fmod(y, 2)) == 1; }

// Returns |x|^y for finite x != 0, finite y != 0.
double pow_of_magnitude(double x, double y) {
  const Two log = log_two(std::fabs(x));
  const double estimate = y * log.hi;
  if (estimate > 800) return kInfinity;
  if (estimate < -800) return 0;
  return exp_two(Two{y, 0} * log);
}

// Sum of the all-positive series erf x = 2 x / sqrt(pi) e^(-x^2) (1 + 2x^2/3 (1 + 2x^2/5 (1 + ...))), 0 <= x
// < 1.5.
double erf_series(double x, double gauss) {
  double sum = 1;
  for (int k = 61; k >= 3; k -= 2) sum = std::fma(sum, 2 * x * x / k, 1);
  return kTwoOverSqrtPi.hi * x * gauss * sum;
}

// Continued fraction of erfc x, x >= 1.5: e^(-x^2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + ...))).
double erfc_fraction(double x, double gauss) {
  double tail = x;
  for (int k = 120; k >= 1; --k) tail = x + 0.5 * k / tail;
  return 0.5 * kTwoOverSqrtPi.hi * gauss / tail;
}

}  // namespace

double exp_f64(double x) {
  if (std::isnan(x)) return kNan;
  return exp_two({x, 0});
}

double log_f64(double x) {
  if (std::isnan(x) || x < 0) return kNan;
  if (x == 0) return -kInfinity;
  return x == kInfinity ? x : log_two(x).hi;
}

double pow_f64(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (std::isnan(x) || std::isnan(y)) return kNan;
  if (std::isinf(y)) {
    if (x == -1) return 1;
    return (std::fabs(x) > 1) == (y > 0) ? kInfinity : 0;
  }
  const double sign = std::signbit(x) && is_odd_integer(y) ? -1 : 1;
  if (x == 0 || std::isinf(x)) return sign * ((x == 0) == (y < 0) ? kInfinity : 0);
  if (x < 0 && y != std::trunc(y)) return kNan;
  return sign * pow_of_magnitude(x, y);
}

double tanh_f64(double x) {
  if (std::isnan(x)) return kNan;
  const double a = std::fabs(x);
  double tail = 23;  // Lambert's continued fraction a / (1 + a^2 / (3 + a^2 / (5 + ...))).
  for (int k = 21; k >= 3; k -= 2) tail = k + a * a / tail;
  const double small = a - a * (a * a / (tail + a * a));
  return std::copysign(a < 0.625 ? small : 1 - 2 / (exp_f64(2 * a) + 1), x);
}

double sigmoid_f64(double x) {
  if (std::isnan(x)) return kNan;
  const double z = exp_f64(-std::fabs(x));
  return (x < 0 ? z : 1) / (1 + z);
}

double erf_f64(double x) {
  if (std::isnan(x)) return kNan;
  const double a = std::fabs(x);
  if (a >= 6) return std::copysign(1, x);
  const Two square = two_product(a, a);
  const double gauss = exp_two({-square.hi, -square.lo});
  return std::copysign(a < 1.5 ? erf_series(a, gauss) : 1 - erfc_fraction(a, gauss), x);
}

}  // namespace faultline
