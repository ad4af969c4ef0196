#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

struct BatchNormResult {
  Variable y;
  Tensor running_mean, running_var;  // for the next call
};

// Returns gamma * (x - mean) * r + beta for each channel, r = 1 / sqrt(var + eps).
// Training (execution().training): mean and var are the batch's, and the running statistics move toward
// mean and the unbiased variance by `momentum`.
// Evaluation: mean and var are the running statistics, which stay as they are.
// With xhat = (x - mean) * r: dbeta = s1 = sum(dy), dgamma = s2 = sum(dy xhat),
// dx = (gamma r) (dy - s1/n - xhat (s2/n)); in evaluation dx = (gamma r) dy.
// Shapes:      x [N, C, ..], all others [C] -> [N, C, ..].
// Formats:     x f32, f16, bf16 beside f32, or all f64; y as x, statistics as gamma.
// Accumulates: f32 over samples and positions, by the leaf rule.
// Error:       that of mean, variance and root followed through the formula (norm_moments).
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape if a [C] does not fit, or in training with one element a channel.
// Source:      Ioffe and Szegedy 2015, algorithm 1; numerics.md 2.3, 2.6.
BatchNormResult batch_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                           const Variable& running_mean, const Variable& running_var, double momentum = 0.1,
                           double eps = 1e-5);

}  // namespace faultline
