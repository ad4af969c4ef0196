#pragma once

#include <cstdint>
#include <vector>

#include "engine/kernels/planes.h"
#include "engine/mma/unit.h"

namespace faultline {

// Element (sample, channel, row, col) of a result lies at the sum of its strides times them, from `first`.
struct ImageOut {
  Array array;
  int64_t first, sample, channel, row, col;
  const float* bias = nullptr;  // of each channel, added in f32 to the finished sum
};

// out(sample, m, r, c) = sum over k of weight(m, k) * the plane element at tap[k] + r * width + c: a
// convolution forward, or the part of dx whose positions have one residue of the stride.
struct Correlation {
  const Planes& planes;
  int64_t M, rows, cols;
  const float* weights;  // element (m, k) at m * weight_row + weight_step[k]
  int64_t weight_row;
  std::vector<int64_t> weight_step;
  std::vector<int64_t> tap;  // offsets in a sample
  ImageOut out;

  int64_t K() const { return tap.size(); }
};

// Computes the correlation on a unit, under the name `kernel` in threads_used().
void correlate(const char* kernel, const Correlation& correlation, const Unit& unit, Dtype input,
               const Arithmetic& arithmetic);

}  // namespace faultline
