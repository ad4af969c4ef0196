#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns gamma * (x - mean) / sqrt(var + eps) + beta, mean and var over the last axes, those of gamma.
// With g = dy gamma: dx = r (g - s1/n - xhat (s2/n)), s1 = sum(g), s2 = sum(g xhat) over those axes; dgamma =
// the sum of dy xhat, dbeta of dy, over all others. Shapes:      x [N, .., D..], gamma and beta [D..] -> [N,
// .., D..]; axis 0 is the sample. Formats:     x f32, f16, bf16 beside f32, or all f64; y as x. Accumulates:
// f32, 64 lanes; dgamma and dbeta by the leaf rule. Error:       first order in gamma(n) through mean,
// variance and root; see norm_moments. Bitwise:     runs yes, threads yes, instruction sets yes. Throws:
// kShape if gamma and beta are not alike, or not the last axes of x. Source:      Ba, Kiros and Hinton 2016,
// equation 4; numerics.md 2.2, 2.6.
Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta, double eps = 1e-5);

}  // namespace faultline
