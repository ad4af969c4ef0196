#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the mean over all elements of (x - target)^2. dx = (2 * (x - target)) * (dL / n), dtarget alike.
// Shapes:      two of one shape -> [].
// Formats:     f32, f16, bf16 -> f32; f64 -> f64; numeric class f32.
// Accumulates: f32, by the leaf rule over axis 0 (numerics.md 2.3), divided once by n.
// Error:       |got - exact| <= gamma(roundings + 4) * mean of the squares.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape, kDtype if the inputs differ in shape or format.
Variable mse(const Variable& x, const Variable& target);

}  // namespace faultline
