#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns x times the normal distribution function, (x / 2) * (1 + erf(x / sqrt 2)).
// dx = dy * (cdf + x * pdf) with cdf = (1 + erf(x / sqrt 2)) / 2, pdf = exp((-x / 2) * x) / sqrt(2 pi).
// Shapes:  any.
// Formats: f32, f16, bf16, f64; result as x; numeric class as is.
// Error:   |got - exact| <= gamma(3) |x| + gamma(1) |y|, and one rounding to the result's format.
// Bitwise: runs yes, threads yes, instruction sets yes.
Variable gelu(const Variable& x);

}  // namespace faultline
