#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the rows of w that the indices name. dw adds, to each row, the dy of its tokens in rising order.
// Shapes:      w [V, D], indices [N, ..] of i32 -> [N, .., D]; axis 0 of indices is the sample.
// Formats:     w f32, f16, bf16, f64; result as w.
// Accumulates: f32 (dw), by the leaf rule.
// Error:       exact.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kArgument for an index outside 0 .. V - 1.
// Source:      numerics.md 2.3, 2.6.
Variable embedding(const Variable& w, const Variable& indices);

}  // namespace faultline
