#pragma once

#include <cstdint>

#include "engine/base/result_pieces.h"
#include "engine/numerics/dtype.h"

namespace faultline {

// Layer norm of the rows of x [rows, n] (numerics.md 2.6), one row after the other, so that its passes find the row in
// a cache. Sums are ordered, over 64 lanes.
struct LayerNormShape {
  int64_t rows, n;
  Dtype dtype;  // of x, y, dy and dx: f32, f16, bf16
};

// Writes y and, of each row, the mean and r = 1 / sqrt(mean of (x - mean)^2 + eps).
struct LayerNormForward {
  const void* x;
  const float *gamma, *beta;
  float eps;
  void* y;
  float *mean, *r;
  ResultPieces* y_pieces = nullptr;  // who looks at those of y, if anybody
};
void layer_norm_forward(const LayerNormShape& shape, const LayerNormForward& call);

// Writes dx.
struct LayerNormBackward {
  const void *x, *dy;
  const float *gamma, *mean, *r;
  void* dx;
  ResultPieces* dx_pieces = nullptr;
};
void layer_norm_backward(const LayerNormShape& shape, const LayerNormBackward& call);

}  // namespace faultline
