#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the product of two matrices, or one product for each matrix of a batch.
// dlhs = dy rhs^T, drhs = lhs^T dy.
// Shapes:      lhs [.., M, K], rhs [K, N] or [.., K, N] with lhs's leading axes -> [.., M, N].
// Formats:     f32, f16, bf16, f64, both alike; result as lhs.
// Accumulates: f32 or f16, k rising. rhs [K, N] is a weight: axis 0 of lhs is then the sample, and drhs
//              sums over it in leaves of 8 samples.
// Error:       |got - exact| <= gamma(K) * sum|lhs||rhs|, then one rounding to lhs's format.
// Bitwise:     runs yes, threads yes, instruction sets yes (unit fma).
// Throws:      kShape if inner or leading sizes differ; kDtype or kNotFound for the unit, as check_unit.
// Source:      numerics.md 2.1, 2.3.
Variable matmul(const Variable& lhs, const Variable& rhs);

}  // namespace faultline
