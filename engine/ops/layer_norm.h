#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns gamma * (x - mean) * r + beta, r = 1 / sqrt(var + eps), mean and var over the axes of gamma.
// With xhat = (x - mean) * r, g = dy gamma, s1 = sum(g) and s2 = sum(g xhat) over those axes:
// dx = r (g - s1/n - xhat (s2/n)); dgamma sums dy xhat, and dbeta dy, over all other axes.
// Shapes:      x [N, .., D..], gamma and beta [D..] -> [N, .., D..]; axis 0 is the sample.
// Formats:     x f32, f16, bf16 beside f32, or all f64; y as x.
// Accumulates: f32, 64 lanes; dgamma and dbeta by the leaf rule.
// Error:       that of mean, variance and root followed through the formula (norm_moments).
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape if gamma and beta are not alike, or not the last axes of x.
// Source:      Ba, Kiros and Hinton 2016, equation 4; numerics.md 2.2, 2.6.
Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta, double eps = 1e-5);

}  // namespace faultline
