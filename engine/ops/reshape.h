#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the elements of x in row-major order under another shape; one size may be -1.
// Formats: any; result as x.
// Error:   exact; a view where x is contiguous.
// Throws:  kShape if the element counts differ.
Variable reshape(const Variable& x, const Shape& shape);

// [N, ...] -> [N, the rest].
Variable flatten(const Variable& x);

}  // namespace faultline
