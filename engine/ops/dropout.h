#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns x * f32(1 / (1 - p)) where the element is kept, else +0; dx alike. In evaluation returns x.
// Element i is kept iff uniform number i of the Philox stream "dropout/<layer>/<step>" of the run's seed is
// at least p (numerics.md 2.5), so a mask is made again from the call alone.
// Shapes:  any.
// Formats: f32, f16, bf16, f64; result as x.
// Error:   two roundings in f32, one to the format of x.
// Bitwise: runs yes, threads yes, instruction sets yes, backends yes.
// Throws:  kArgument unless 0 <= p < 1.
Variable dropout(const Variable& x, double p, const std::string& layer);

}  // namespace faultline
