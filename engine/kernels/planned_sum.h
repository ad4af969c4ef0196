#pragma once

#include <cstdint>
#include <functional>

#include "engine/mma/k_plan.h"

namespace faultline {

// Returns the formats in which a plan's additions are rounded for a result of format `out`.
KFormats k_formats(const Arithmetic& arithmetic, Dtype out);

// Whether a plan is a sequence of ranges, each added to the sum of those before it and rounded to f32.
bool is_sequence(const KPlan& plan, const KFormats& formats);

// Calls body(range, adds) for the ranges of a sequence; all but the first add to the sum of those before.
template <class Body>
void for_sequence(const KPlan& plan, const Body& body) {
  bool adds = false;
  for (const auto& leaf : plan.leaves) {
    for (const KPlan::Range& range : leaf) body(range, adds), adds = true;
  }
}

// Outputs cut into tiles, each a planned sum; how they are cut does not change a bit.
struct TiledSum {
  const char* kernel = nullptr;  // its name in threads_used()
  const KPlan* plan = nullptr;
  KFormats formats = {};
  int64_t tiles = 0;
  int64_t tile_elements = 0;  // of the largest tile
  int64_t work = 0;           // multiply-adds in all
  std::function<void(int64_t tile, const KPlan::Range& range, float* values)> chain = {};
  // Adds a range's results to `values` instead, as in sum_ranges.
  std::function<void(int64_t tile, const KPlan::Range& range, float* values)> add_chain = {};
  std::function<void(int64_t tile, float* sum)> finish = {};  // `sum` may be changed
};

// Runs the tiles in parallel; the ranges of k as well where there are fewer tiles than threads.
void run_tiled_sum(const TiledSum& sum);

// How many of `items`, which together take `work` multiply-adds, are worth a thread.
int64_t thread_grain(int64_t items, int64_t work);

// What it takes to move an element, in multiply-adds.
inline constexpr int64_t kMoveWork = 8;

}  // namespace faultline
