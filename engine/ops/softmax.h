#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns e / S with e = exp(x - max) along one axis. dx = y * (dy - sum(dy * y)).
// Shapes:      any with that axis (negative: from the last) -> the same.
// Formats:     f32, f16, bf16, f64; result as x; numeric class f32.
// Accumulates: f32, 64 lanes (numerics.md 2.2).
// Error:       |got - exact| <= gamma(2 range + n / 64 + 12) * y for n classes that span `range`.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kArgument if there is no such axis.
Variable softmax(const Variable& x, int axis = -1);

}  // namespace faultline
