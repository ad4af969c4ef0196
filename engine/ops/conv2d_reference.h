#pragma once

#include "engine/autograd/op.h"
#include "engine/kernels/conv2d.h"

namespace faultline {

// The definition of conv2d as plain scalar code: each product's operands are written out as matrices.

Conv2dShape conv2d_shape(const OpCall& call);

Tensors conv2d_forward_reference(const OpCall& call);
Tensors conv2d_backward_reference(const OpGradCall& grad);
Dot conv2d_forward_dot(const OpCall& call, int64_t element);
std::optional<Dot> conv2d_backward_dot(const OpGradCall& grad, size_t input, int64_t element);
Tensor conv2d_error_bound(const OpCall& call);

}  // namespace faultline
