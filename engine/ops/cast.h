#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns x rounded once to nearest even to `dtype`. dx is dy rounded to the format of x.
// Shapes:  any.
// Formats: any float to any stored float.
// Error:   none but the rounding that it is; overflow gives infinity.
// Bitwise: runs yes, threads yes, instruction sets yes.
// Throws:  kDtype if a format is not a stored float.
Variable cast(const Variable& x, Dtype dtype);

}  // namespace faultline
