#include "engine/ops/error_bound.h"

#include <cmath>

namespace faultline {

double gamma_f32(double roundings) {
  const double nu = roundings * unit_roundoff(Dtype::kF32);
  return nu / (1 - nu);
}

double rounded_error(double exact, double error, Dtype dtype) {
  if (dtype == Dtype::kF32 || dtype == Dtype::kF64) return error;
  const DtypeInfo& format = info(dtype);
  const int smallest_exponent = 2 - (1 << (format.exponent_bits - 1)) - format.fraction_bits;
  return error + unit_roundoff(dtype) * (std::fabs(exact) + error) + std::ldexp(0.5, smallest_exponent);
}

}  // namespace faultline
