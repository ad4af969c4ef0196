#pragma once

#include "engine/autograd/op.h"

namespace faultline {

// Sums over axes as numerics.md 2.2 orders them, by leaves of 8 samples (2.3) where axis 0 is among them.

// reduced[axis] for a list of axes, negative ones counted from the last; an empty list means all. Throws
// kArgument for an axis out of range or named twice.
std::vector<bool> reduced_axes(const std::string& op, const Shape& shape, const std::vector<int64_t>& axes);

// `shape` with size 1 along the reduced axes.
Shape kept_shape(const Shape& shape, const std::vector<bool>& reduced);

// The number of terms of each sum.
int64_t reduced_count(const Shape& shape, const std::vector<bool>& reduced);

// The sums as f32 of kept_shape; the reference has f64 sums of f64 terms.
Tensor sum_axes(const Tensor& x, const std::vector<bool>& reduced);
Tensor sum_axes_reference(const Tensor& x, const std::vector<bool>& reduced);

// The sums of squares of f32 (the reference: or f64) values, each added as fma(x, x, sum).
Tensor sum_squares(const Tensor& x, const std::vector<bool>& reduced);
Tensor sum_squares_reference(const Tensor& x, const std::vector<bool>& reduced);

// Sums f32 (f64) values over the axes along which an operand of `shape` was broadcast to theirs, and rounds
// once.
Tensor sum_to(const Tensor& values, const Shape& shape, Dtype dtype);
Tensor sum_to_reference(const Tensor& values, const Shape& shape, Dtype dtype);

// Roundings on the way of one term into its sum: gamma_f32 of it bounds the sum's relative error.
double sum_roundings(const Shape& shape, const std::vector<bool>& reduced);

}  // namespace faultline
