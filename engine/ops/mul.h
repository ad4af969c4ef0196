#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns lhs * rhs, the inputs broadcast. dlhs = dy * rhs, drhs = dy * lhs.
// Shapes:      lhs, rhs that broadcast -> the broadcast shape.
// Formats:     f32, f16, bf16, f64; in `apply` both are first cast to the wider of their formats.
// Accumulates: gradients of a broadcast input: f32, 64 lanes, by leaves over axis 0 (numerics.md 2.2, 2.3).
// Error:       one rounding in f32, one to the result's format.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape if the shapes do not broadcast.
Variable mul(const Variable& lhs, const Variable& rhs);

}  // namespace faultline
