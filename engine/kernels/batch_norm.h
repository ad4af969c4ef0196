#pragma once

#include <cstdint>

#include "engine/numerics/dtype.h"

namespace faultline {

// Batch norm of x [samples, channels, positions] in training (numerics.md 2.6), one channel after the other, so that
// its passes find the channel in a cache. Sums are ordered, by leaves of 8 samples.
struct BatchNormShape {
  int64_t samples, channels, positions;
  Dtype dtype;  // of x, y, dy and dx: f32, f16, bf16
};

// Writes y and, of each channel, the mean, the sum of (x - mean)^2 and r = 1 / sqrt(that / n + eps).
struct BatchNormForward {
  const void* x;
  const float *gamma, *beta;
  float eps;
  void* y;
  float *mean, *squares, *r;
};
void batch_norm_forward(const BatchNormShape& shape, const BatchNormForward& call);

// Writes s1, the sum of dy, and s2, that of dy * xhat, and dx unless it is null.
struct BatchNormBackward {
  const void *x, *dy;
  const float *gamma, *mean, *r;
  float *s1, *s2;
  void* dx;
};
void batch_norm_backward(const BatchNormShape& shape, const BatchNormBackward& call);

}  // namespace faultline
