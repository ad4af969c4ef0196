#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

struct BatchNormResult {
  Variable y;
  Tensor running_mean, running_var;  // for the next call
};

// Returns gamma * (x - mean) / sqrt(var + eps) + beta for each channel. Training (execution().training): mean
// and var of the batch, and the running statistics moved toward mean and the unbiased variance by `momentum`.
// Evaluation: the running statistics themselves.
// dx = (gamma r) (dy - s1/n - xhat (s2/n)), dgamma = s2 = sum(dy xhat), dbeta = s1 = sum(dy); evaluation: dx
// = (gamma r) dy. Shapes:      x [N, C, ..], all others [C] -> [N, C, ..]. Formats:     x f32, f16, bf16
// beside f32, or all f64; y as x, statistics as gamma. Accumulates: f32 over samples and positions, by the
// leaf rule. Error:       first order in gamma(n) through mean, variance and root; see norm_moments. Bitwise:
// runs yes, threads yes, instruction sets yes. Throws:      kShape if a [C] does not fit, or training with
// one element a channel. Source:      Ioffe and Szegedy 2015, algorithm 1; numerics.md 2.3, 2.6.
BatchNormResult batch_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                           const Variable& running_mean, const Variable& running_var, double momentum = 0.1,
                           double eps = 1e-5);

}  // namespace faultline
