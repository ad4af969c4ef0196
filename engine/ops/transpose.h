#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns x with two axes exchanged, as a contiguous copy.
// Shapes:  any with both axes (negative: from the last).
// Formats: any; result as x.
// Error:   exact.
// Throws:  kArgument if an axis does not exist.
Variable transpose(const Variable& x, int axis_a, int axis_b);

}  // namespace faultline
