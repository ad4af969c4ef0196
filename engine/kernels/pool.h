#pragma once

#include <cstdint>

#include "engine/base/result_pieces.h"
#include "engine/numerics/dtype.h"

namespace faultline {

// Windows that slide over planes (one per sample and channel) of height x width.
struct PoolShape {
  int64_t planes, height, width;
  int64_t kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w;

  int64_t out_height() const { return (height + 2 * padding_h - kernel_h) / stride_h + 1; }
  int64_t out_width() const { return (width + 2 * padding_w - kernel_w) / stride_w + 1; }
};

// Contiguous f32, f16 or bf16 in and out; f32 arithmetic, one rounding on store (numerics.md 2.6).
// Padding may be at most half the kernel, so that every window holds an element. `pieces`: who looks at those of the
// result, if anybody.

// The first maximum of each window in row-major order; a NaN wins.
void max_pool2d(const PoolShape& shape, Dtype dtype, const void* x, void* y, ResultPieces* pieces = nullptr);
// Each dy goes to the element that won; several to one element are added in rising output index.
void max_pool2d_backward(const PoolShape& shape, Dtype dtype, const void* x, const void* dy, void* dx,
                         ResultPieces* pieces = nullptr);

// The sum of each window in row-major order, padding as zeros, divided by kernel_h * kernel_w.
void avg_pool2d(const PoolShape& shape, Dtype dtype, const void* x, void* y, ResultPieces* pieces = nullptr);
void avg_pool2d_backward(const PoolShape& shape, Dtype dtype, const void* dy, void* dx,
                         ResultPieces* pieces = nullptr);

}  // namespace faultline
