#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the mean of x over axes: the sum divided once by the count n. dx = dy / n along them.
// Shapes:      any; the axes (negative: from the last; none named: all) are dropped, or kept with size 1.
// Formats:     f32, f16, bf16, f64; result as x; numeric class as is.
// Accumulates: f32, 64 lanes, by leaves of 8 where axis 0 is summed (numerics.md 2.2, 2.3).
// Error:       |got - exact| <= gamma(roundings + 1) * mean|x|, and one rounding to the format of x.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kArgument if an axis does not exist or is named twice.
Variable mean(const Variable& x, const std::vector<int64_t>& axes = {}, bool keepdim = false);

}  // namespace faultline
