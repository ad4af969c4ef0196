#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/mma/arithmetic.h"

namespace faultline {

// The longest chain of unit fma (numerics.md 2.1).
inline constexpr int64_t kChainBlock = 512;

// How the index k of a product is cut, and how the pieces are added (numerics.md 2.1, 2.3, 3 and 4).
struct KPlan {
  // Consecutive k: one chain of the unit, from +0.
  struct Range {
    int64_t begin, end;
    bool operator==(const Range&) const = default;
  };
  enum class Join : uint8_t {
    kTree,   // neighbours pairwise, an odd one passes up
    kChain,  // in rising order
  };

  // Inside a leaf the ranges' results are added in this order: the first, then + the second, ...
  std::vector<std::vector<Range>> leaves;
  Join join = Join::kTree;

  int64_t ranges() const;
  std::vector<Range> in_order() const;  // the ranges, leaf after leaf
};

// Returns the plan of a sum over k terms.
//   ordered, split_k 1        leaves of k_per_leaf terms if the arithmetic adds by leaves (one leaf if
//                             k_per_leaf is 0), else one leaf; tree.
//   split_k S > 1             S parts of ceil(k / S) terms rounded up to a multiple of 8 (the last shorter, none
//                             empty) in place of the leaves; chain.
//   shuffled, gradient_sum    one leaf in blocks of 256, those of a part in an order drawn by Philox from
//                             (order_seed, order_stream).
// Unit fma cuts leaves and parts into blocks of 512; another unit takes each as one range.
// `k_per_leaf` is 0 where k holds no sample, else the terms of 8 samples.
KPlan plan_k(int64_t k, int64_t k_per_leaf, bool gradient_sum, const Arithmetic& arithmetic);

// In which format additions between ranges are rounded (each is one f32 addition, then rounded once).
struct KFormats {
  Dtype accumulate = Dtype::kF32;  // every addition
  Dtype parts = Dtype::kF32;       // chain join: the parts and their running sum as well
};

using RangeSums = std::function<void(const KPlan::Range&, float* values)>;

// Writes the planned sum of n outputs at once. chain(range, values) writes the n results of one range; where it is
// given, add_chain(range, values) adds them to the values instead, in f32. One of the two is called once per range, in
// the plan's order. A plan without ranges gives +0.
void sum_ranges(const KPlan& plan, int64_t n, const KFormats& formats, const RangeSums& chain, float* out,
                const RangeSums& add_chain = {});

}  // namespace faultline
