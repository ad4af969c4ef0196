#pragma once

#include <optional>
#include <string>

#include "engine/autograd/op.h"

namespace faultline {

// Both return nothing where the gradients hold, else what is wrong first: input, element, both values, bound.

// Compares backward_reference with central differences of forward_reference, in f64, for L = sum(dy *
// outputs[0]) at up to `most` elements of each input. The bound comes from the differences themselves: what
// halving the step changes, and the rounding of L divided by the step. The float inputs of `call` and dy must
// be f64.
// Source:      Richardson 1911 (two steps extrapolated to order 4).
std::optional<std::string> check_gradient_f64(const OpDef& op, const OpCall& call, const Tensor& dy,
                                              int64_t most = 40);

// Compares backward_reference in f32 with backward_reference in f64 on the same values. The bound is
// gamma(m + 32) * (|J|^T |dy| + max|dy|) with J the f64 Jacobian of m outputs: m terms of a sum, and the
// roundings within a term. The float inputs of `call` must be f32.
std::optional<std::string> check_gradient_f32(const OpDef& op, const OpCall& call, const Tensor& dy);

}  // namespace faultline
