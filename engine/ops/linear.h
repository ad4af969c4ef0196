#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns x w^T + b; b may be undefined. dx = dy w, dw = dy^T x, db = the sum of dy over all rows.
// Shapes:      x [N, .., in], w [out, in], b [out] -> [N, .., out]; axis 0 is the sample.
// Formats:     f32, f16, bf16, f64, all alike; result as x.
// Accumulates: f32 or f16, k = in (dx: out; dw: rows, in leaves of 8 samples); b is added in f32.
// Error:       |got - exact| <= gamma(K) * sum|x||w|, then one rounding to x's format.
// Bitwise:     runs yes, threads yes, instruction sets yes (unit fma).
// Throws:      kShape if the inner sizes differ; kDtype or kNotFound for the unit, as check_unit.
// Source:      numerics.md 2.1, 2.3.
Variable linear(const Variable& x, const Variable& w, const Variable& b = {});

}  // namespace faultline
