#pragma once

#include <vector>

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the sum of each window in row-major order, padding as zeros, divided by the kernel's size.
// dx adds dy / size in rising output index.
// Shapes:      x [N, C, H, W] -> [N, C, OH, OW], OH = (H + 2 padding - kernel) / stride + 1 and OW alike;
//              pairs are {height, width}.
// Formats:     f32, f16, bf16, f64; result as x.
// Accumulates: f32, one rounding at the end.
// Error:       |got - exact| <= gamma(size) * sum|x| / size, then one rounding to x's format.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape if a kernel does not fit, kArgument if padding is above half the kernel.
// Source:      numerics.md 2.6.
Variable avg_pool2d(const Variable& x, const std::vector<int64_t>& kernel,
                    const std::vector<int64_t>& stride = {}, const std::vector<int64_t>& padding = {0, 0});

}  // namespace faultline
