#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns e^x. dx = dy * y.
// Shapes:  any.
// Formats: f32, f16, bf16, f64; result as x; numeric class f32.
// Error:   0.98 ulp of f32, and one rounding to the result's format.
// Bitwise: runs yes, threads yes, instruction sets yes.
Variable exp(const Variable& x);

}  // namespace faultline
