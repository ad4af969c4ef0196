#pragma once

#include <vector>

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the first maximum of each window in row-major order; a NaN wins; padding takes no part.
// dx adds, in rising output index, each dy to the element that won.
// Shapes:      x [N, C, H, W] -> [N, C, OH, OW], OH = (H + 2 padding - kernel) / stride + 1 and OW alike;
//              pairs are {height, width}.
// Formats:     f32, f16, bf16, f64; result as x.
// Accumulates: f32 (dx), one rounding at the end.
// Error:       exact.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape if a kernel does not fit, kArgument if padding is above half the kernel.
// Source:      numerics.md 2.6.
Variable max_pool2d(const Variable& x, const std::vector<int64_t>& kernel,
                    const std::vector<int64_t>& stride = {}, const std::vector<int64_t>& padding = {0, 0});

}  // namespace faultline
