#pragma once

#include <cstdint>
#include <vector>

#include "engine/mma/k_plan.h"

namespace faultline {

// A tensor [samples, rows, channels, positions] that is summed over all but its channels; rows or positions
// are 1 where a layout lacks them. The index of a sum is row-major over (sample, row, position).
struct ChannelShape {
  int64_t samples, rows, channels, positions;

  int64_t terms_per_sample() const { return rows * positions; }
  int64_t terms() const { return samples * terms_per_sample(); }
};

// The blocks of 256 terms of a shuffled gradient sum, in the order in which they are added (numerics.md 4).
std::vector<KPlan::Range> shuffled_blocks(int64_t terms, const Arithmetic& arithmetic);

// Writes the sum of each channel of x, f32, f16 or bf16, in f32: by the leaf rule or in shuffled blocks, as
// arithmetic.order says (numerics.md 2.3, 4).
void channel_sum(const char* kernel, const ChannelShape& shape, Dtype dtype, const void* x,
                 const Arithmetic& arithmetic, float* sums);

}  // namespace faultline
