#pragma once

#include "engine/tensor/tensor.h"

namespace faultline {

// gamma(n) = n u / (1 - n u) with u = 2^-24: the relative error that n f32 roundings can add up to.
double gamma_f32(double roundings);

// Returns the bound of |got - exact| for a value that carries an absolute error of `error` in f32 and is then
// rounded once to `dtype` (to nearest, subnormals included).
double rounded_error(double exact, double error, Dtype dtype);

}  // namespace faultline
