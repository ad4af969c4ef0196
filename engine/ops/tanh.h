#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the hyperbolic tangent of x. dx = dy * (1 - y * y).
// Shapes:  any.
// Formats: f32, f16, bf16, f64; result as x; numeric class as is.
// Error:   1.39 ulp of f32, and one rounding to the result's format.
// Bitwise: runs yes, threads yes, instruction sets yes.
Variable tanh(const Variable& x);

}  // namespace faultline
