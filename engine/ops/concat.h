#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the inputs one after another along an axis.
// Shapes:  one or more, equal but for that axis (negative: from the last).
// Formats: f32, f16, bf16, f64; in `apply` all are first cast to the widest of their formats.
// Error:   exact.
// Throws:  kShape if the other sizes differ; kArgument if there is no input or no such axis.
Variable concat(const std::vector<Variable>& inputs, int axis);

}  // namespace faultline
