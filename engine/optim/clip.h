#pragma once

#include <string>
#include <vector>

#include "engine/autograd/variable.h"

namespace faultline {

// Multiplies a parameter's gradient by `factor` in f32; the observer sees the op as "<parameter>/<what>".
void scale_gradient(Variable parameter, float factor, const std::string& what);

// Returns the 2-norm of all gradients together, in f32: per parameter the sum of squares over 64 lanes
// (numerics.md 2.2), these added in the parameters' order, then the square root.
float gradient_norm(const std::vector<Variable>& parameters);

// Scales the gradients by max_norm / (norm + 1e-6) where that is below 1; returns the norm before.
// Source:      torch.nn.utils.clip_grad_norm_.
float clip_gradient_norm(const std::vector<Variable>& parameters, double max_norm);

}  // namespace faultline
