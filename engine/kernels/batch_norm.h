#pragma once

#include <cstdint>

#include "engine/base/result_pieces.h"
#include "engine/numerics/dtype.h"

namespace faultline {

// Batch norm of x [samples, channels, positions] in training (numerics.md 2.6) and what follows it, one channel after
// the other: each tensor is read and written once. Sums are ordered, by leaves of 8 samples.
struct BatchNormShape {
  int64_t samples, channels, positions;
  Dtype x;  // format of x and dx: f32, f16, bf16
  Dtype y;  // of y, dy and the residual: as x, or f32
};

// Writes y and, of each channel, the mean, the sum of (x - mean)^2 and r = 1 / sqrt(that / n + eps).
struct BatchNormForward {
  const void* x;
  const float *gamma, *beta;
  float eps;
  const void* residual;  // added to the normalised value, which is rounded to x's format before; or null
  bool relu;             // of that sum
  void* y;
  float *mean, *squares, *r;
  ResultPieces* y_pieces;  // who looks at those of y, or null
};
void batch_norm_forward(const BatchNormShape& shape, const BatchNormForward& call);

// Writes s1, the sum of the gradient g of the normalised value, and s2, that of g * xhat.
struct BatchNormBackward {
  const void *x, *dy;
  const void* y;  // the result of the forward, where it ended in relu; else null
  const float *gamma, *mean, *r;
  float *s1, *s2;
  void *dx, *dresidual;  // written unless null
  ResultPieces *dx_pieces, *dresidual_pieces;
};
void batch_norm_backward(const BatchNormShape& shape, const BatchNormBackward& call);

}  // namespace faultline
