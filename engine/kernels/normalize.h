#pragma once

#include "engine/kernels/elementwise.h"

namespace faultline {

// The element-wise steps of batch and layer norm (numerics.md 2.6), all on f32.
void subtract_mean(const ElementwiseCall& call);    // x - mean, of (x, mean)
void normalize(const ElementwiseCall& call);        // (x - mean) * r, of (x, mean, r)
void scale_and_shift(const ElementwiseCall& call);  // fma(xhat, gamma, beta), of (xhat, gamma, beta)
void multiply(const ElementwiseCall& call);         // a * b, of (a, b)
void normalization_gradient(
    const ElementwiseCall& call);  // scale * (dy - m1 - xhat * m2), of (scale, dy, m1, xhat, m2)

}  // namespace faultline
