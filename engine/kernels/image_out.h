#pragma once

#include <cstdint>

#include "engine/kernels/conv2d.h"

namespace faultline {

// Element (sample, channel, row, col) of a result lies at the sum of its strides times them, from `first`.
struct ImageOut {
  Array array;
  int64_t first, sample, channel, row, col;
  const float* bias = nullptr;  // of each channel, added in f32 to the finished sum
};

// Finishes rows [row, row + rows) of `cols` sums of one channel, `stride` apart.
void store_rows(const ImageOut& out, int64_t cols, int64_t sample, int64_t channel, int64_t row, int64_t rows,
                int64_t stride, float* values);

// Shows channels [first, last) of a sample, which lie one behind the other, to who looks at pieces.
void show_channels(const ImageOut& out, int64_t sample, int64_t first, int64_t last);

}  // namespace faultline
