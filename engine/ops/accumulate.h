#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the sum of gradients that meet at one tensor.
// Shapes:      n >= 2 tensors of one shape -> that shape.
// Formats:     f32, f16, bf16, f64, all the same; result as the inputs.
// Accumulates: f32, left to right, rounded once (numerics.md 2.6).
// Error:       |got - exact| <= gamma(n - 1) * sum|x|, and one rounding.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape, kDtype if they differ; kArgument if there are fewer than two.
Variable accumulate(const std::vector<Variable>& gradients);

}  // namespace faultline
