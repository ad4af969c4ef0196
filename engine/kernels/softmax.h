#pragma once

#include <cstdint>

#include "engine/base/result_pieces.h"
#include "engine/numerics/dtype.h"

namespace faultline {

// Softmax over contiguous rows (numerics.md 2.6): max is NaN if any x is; e = exp(x - max); S is the sum of e
// over 64 lanes.
struct SoftmaxRows {
  Dtype dtype;  // of every array, where nothing else is said
  int64_t rows, columns;
  ResultPieces* pieces = nullptr;  // who looks at those of y, p or dx, if anybody

  void softmax(const void* x, void* y) const;                                // e / S
  void log_softmax(const void* x, void* y) const;                            // (x - max) - log S
  void softmax_gradient(const void* dy, const void* y, void* dx) const;      // y * (dy - sum(dy * y))
  void log_softmax_gradient(const void* dy, const void* y, void* dx) const;  // dy - exp(y) * sum(dy)

  // losses[n] = -log_softmax(x[n])[labels[n]] and p = softmax(x), in f32.
  void cross_entropy(const void* x, const int32_t* labels, float* losses, float* p) const;
  // dx = (p - onehot(label)) * scale.
  void cross_entropy_gradient(const float* p, const int32_t* labels, float scale, void* dx) const;
};

}  // namespace faultline
