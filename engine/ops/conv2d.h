#pragma once

#include <vector>

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the cross-correlation of x with w, plus b per channel; b may be undefined.
// Shapes:      x [N, C, H, W], w [O, C, KH, KW], b [O] -> [N, O, OH, OW], OH = (H + 2 padding - KH) /
//              stride + 1 and OW alike; stride and padding are {height, width}.
// Formats:     f32, f16, bf16, f64, all alike; result as x.
// Accumulates: f32 or f16. y: k = (channel, row, column of the kernel), a padding tap as +0. dx: k = (out
//              channel, row, column), without the taps that lie between the strides. dw: k = (sample,
//              row, column of the output), in leaves of 8 samples. b is added in f32.
// Error:       |got - exact| <= gamma(C KH KW) * sum|x||w|, then one rounding to x's format.
// Bitwise:     runs yes, threads yes, instruction sets yes (unit fma).
// Throws:      kShape if sizes differ or the kernel does not fit; kDtype or kNotFound for the unit, as
//              check_unit.
// Source:      numerics.md 2.1, 2.3.
Variable conv2d(const Variable& x, const Variable& w, const Variable& b = {},
                const std::vector<int64_t>& stride = {1, 1}, const std::vector<int64_t>& padding = {0, 0});

}  // namespace faultline
