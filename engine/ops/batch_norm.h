#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

struct BatchNormResult {
  Variable y;
  Tensor running_mean, running_var;  // for the next call
};

struct BatchNormOptions {
  double momentum = 0.1, eps = 1e-5;
  Variable residual = {};  // what is added to the normalised value
  bool relu = false;       // after that
};

// Returns gamma * (x - mean) * r + beta for each channel, r = 1 / sqrt(var + eps); with the options relu(that + residual),
// in one pass over memory and with the bits of the ops `add` and `relu` after it.
// Training (execution().training): mean and var are the batch's, and the running statistics move toward
// mean and the unbiased variance by `momentum`.
// Evaluation: mean and var are the running statistics, which stay as they are.
// dresidual is relu's gradient g, or dy. With xhat = (x - mean) * r: dbeta = s1 = sum(g), dgamma = s2 = sum(g xhat),
// dx = (gamma r) (g - s1/n - xhat (s2/n)); in evaluation dx = (gamma r) g.
// Shapes:      x, residual [N, C, ..], all others [C] -> [N, C, ..].
// Formats:     x and residual f32, f16, bf16 beside f32, or all f64; y as x, or the widest of x and residual; statistics
//              as gamma. The normalised value and g are rounded to x's format.
// Accumulates: f32 over samples and positions, by the leaf rule.
// Error:       that of mean, variance and root followed through the formula (norm_moments), then that of the sum.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape if a [C] or the residual does not fit, or in training with one element a channel; kDtype.
// Source:      Ioffe and Szegedy 2015, algorithm 1; numerics.md 2.3, 2.6.
BatchNormResult batch_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                           const Variable& running_mean, const Variable& running_var,
                           const BatchNormOptions& options = {});

}  // namespace faultline
