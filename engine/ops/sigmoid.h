#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns 1 / (1 + e^-x). dx = dy * (y * (1 - y)).
// Shapes:  any.
// Formats: f32, f16, bf16, f64; result as x; numeric class as is.
// Error:   2.29 ulp of f32, and one rounding to the result's format.
// Bitwise: runs yes, threads yes, instruction sets yes.
Variable sigmoid(const Variable& x);

}  // namespace faultline
