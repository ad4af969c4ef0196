#pragma once

#include <cstdint>

#include "engine/base/result_pieces.h"
#include "engine/mma/arithmetic.h"

namespace faultline {

// A convolution: x [N, C, H, W], w [OC, C, KH, KW] -> y [N, OC, OH, OW], all dense.
struct Conv2dShape {
  int64_t N, C, H, W;
  int64_t OC, KH, KW;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;

  int64_t OH() const { return (H + 2 * pad_h - KH) / stride_h + 1; }
  int64_t OW() const { return (W + 2 * pad_w - KW) / stride_w + 1; }
};

struct ConstArray {
  const void* data;
  Dtype dtype;
};
struct Array {
  void* data;
  Dtype dtype;
  ResultPieces* pieces = nullptr;  // who looks at them, if anybody
};

// The three products of a convolution, on the unit that the arithmetic names.
// Formats:     f32, f16, bf16 (both operands the same; f32 is rounded to tf32 first if asked for) -> the same.
// Accumulates: f32 (f16 if asked for), from +0, then one rounding to the result's format. A padding tap is
//              fma(+0, w, sum) at its own k.
// Error:       |got - exact| <= gamma(K) * sum|a||b| before the last rounding (fma, f32).
// Bitwise:     runs yes, threads yes, instruction sets yes (unit fma).
// Throws:      kShape for sizes that leave no output; kDtype, kNotFound or kArgument, as check_unit.
// Source:      numerics.md 2.1, 2.3, 3, 4.

// Writes y = x * w (+ bias [OC], added in f32 to the finished sum): k = (channel, row, column of the kernel).
void conv2d_forward(const char* op_name, const Conv2dShape& shape, ConstArray x, ConstArray w,
                    const float* bias, Array y, const Arithmetic& arithmetic);

// Writes dx: k = (out channel, row, column of the kernel), without the taps that lie between the strides.
void conv2d_dx(const char* op_name, const Conv2dShape& shape, ConstArray dy, ConstArray w, Array dx,
               const Arithmetic& arithmetic);

// Writes dw: k = (sample, row, column of the output), a gradient sum in leaves of 8 samples.
void conv2d_dw(const char* op_name, const Conv2dShape& shape, ConstArray x, ConstArray dy, Array dw,
               const Arithmetic& arithmetic);

}  // namespace faultline
