#pragma once

#include <cstdint>
#include <vector>

#include "engine/numerics/dtype.h"

namespace faultline {

// Which elements of a contiguous array each sum over axes takes, and where the sum is cut into leaves.
// Neighbouring axes of one kind are merged; the innermost merged axis is either a run of terms of one sum, or
// a row of columns that belong to different sums.
class SumPlan {
 public:
  // reduced[axis] says whether the axis is summed. A sum over axis 0, the samples, follows the leaf rule.
  SumPlan(const std::vector<int64_t>& shape, const std::vector<bool>& reduced);

  int64_t sums() const { return static_cast<int64_t>(kept_offsets_.size()) * columns_; }
  int64_t terms() const { return static_cast<int64_t>(row_offsets_.size()) * run_; }  // of each sum
  int64_t leaves() const { return leaf_ == 0 ? 0 : (terms() + leaf_ - 1) / leaf_; }
  int64_t leaf() const { return leaf_; }  // terms of a leaf

  int64_t columns() const { return columns_; }
  int64_t run() const { return run_; }
  const std::vector<int64_t>& kept_offsets() const { return kept_offsets_; }
  const std::vector<int64_t>& row_offsets() const { return row_offsets_; }

 private:
  int64_t leaf_ = 0;
  int64_t columns_ = 1, run_ = 1;  // one of them is 1
  std::vector<int64_t> kept_offsets_, row_offsets_;
};

// Writes plan.sums() sums in row-major order of the kept axes.
// Accumulates: f32, 64 lanes within a leaf, leaves joined by the tree (numerics.md 2.2, 2.3).
void sum_over_axes(const SumPlan& plan, Dtype dtype, const void* x, float* sums);

// The same sums of squares: a term is added as fma(x, x, lane).
void sum_squares_over_axes(const SumPlan& plan, const float* x, float* sums);

}  // namespace faultline
