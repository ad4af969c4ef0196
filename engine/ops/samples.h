#pragma once

#include "engine/autograd/op.h"

namespace faultline {

// Inputs for samples: the same values wherever and whenever they are made.

// kIntegers: integers in -4 .. 4. kReals: reals in [-2, 2). `salt` tells the inputs of one sample apart.
Tensor sample_tensor(const Shape& shape, Fill fill, int salt = 0);

// The same in absolute value, and not below 1/4: for log, divisors and variances.
Tensor positive_sample_tensor(const Shape& shape, Fill fill, int salt = 0);

// i32 indices in 0 .. classes-1.
Tensor sample_indices(const Shape& shape, int64_t classes, int salt = 0);

}  // namespace faultline
