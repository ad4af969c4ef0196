#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns x where it is above zero or NaN, else +0. dx = dy there, else +0.
// Shapes:  any.
// Formats: f32, f16, bf16, f64; result as x.
// Error:   exact.
// Bitwise: runs yes, threads yes, instruction sets yes.
Variable relu(const Variable& x);

}  // namespace faultline
