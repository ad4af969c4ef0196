#pragma once

#include "engine/kernels/pool.h"

namespace faultline {

// Whether these are the windows that most networks have: 2 x 2, side by side, and all of the plane is in one.
bool is_2x2(const PoolShape& shape);

// max_pool2d and max_pool2d_backward of planes [begin, end) for them: the same bits.
void max_pool_2x2(const PoolShape& shape, Dtype dtype, const void* x, void* y, int64_t begin, int64_t end);
void max_pool_2x2_backward(const PoolShape& shape, Dtype dtype, const void* x, const void* dy, void* dx,
                           int64_t begin, int64_t end);

}  // namespace faultline
