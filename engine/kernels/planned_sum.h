#pragma once

#include <cstdint>
#include <functional>

#include "engine/mma/k_plan.h"

namespace faultline {

// Returns the formats in which a plan's additions are rounded for a result of format `out`.
KFormats k_formats(const Arithmetic& arithmetic, Dtype out);

// Whether a plan is a sequence of ranges, each added to the sum of those before it and rounded to f32.
bool is_sequence(const KPlan& plan, const KFormats& formats);

// Outputs cut into tiles, each a planned sum; how they are cut does not change a bit.
struct TiledSum {
  const char* kernel = nullptr;  // its name in threads_used()
  const KPlan* plan = nullptr;
  KFormats formats = {};
  int64_t tiles = 0;
  int64_t tile_elements = 0;  // of the largest tile
  int64_t work = 0;           // multiply-adds in all
  // Writes a range's results, or adds them to `values` as the add_chain of sum_ranges does, which is asked of one alone
  // that can.
  std::function<void(int64_t tile, const KPlan::Range& range, bool adds, float* values)> chain = {};
  bool can_add = false;
  std::function<void(int64_t tile, float* sum)> finish = {};  // `sum` may be changed
};

// Runs the tiles in parallel; the leaves or the ranges of k as well where there are few tiles.
void run_tiled_sum(const TiledSum& sum);

// Ranges of a sequence that a thread takes at a time at least, where threads share them.
inline constexpr int64_t kRangesOfThread = 4;

// Results of so many outputs that the L2 cache of a thread's core holds.
int64_t results_in_cache(int64_t outputs);

// How many of `items`, which together take `work` multiply-adds, are worth a thread.
int64_t thread_grain(int64_t items, int64_t work);

// What it takes to move an element, in multiply-adds.
inline constexpr int64_t kMoveWork = 8;

}  // namespace faultline
