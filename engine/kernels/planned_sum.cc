#include "engine/kernels/planned_sum.h"

#include <algorithm>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/scratch.h"

namespace faultline {
namespace {

constexpr int64_t kWorkPerThread = 1 << 17;
// Multiply-adds of a leaf of a tile that outweigh what it takes to keep its sums.
constexpr int64_t kWorkOfLeaf = 1 << 20;
// So many tiles for each thread leave enough to take over from a slow one.
constexpr int64_t kTilesPerThread = 4;
// The sums of leaves that are kept at most, of all tiles.
constexpr int64_t kKeptSums = 1 << 22;

void run_tiles(const TiledSum& sum) {
  parallel_for(sum.kernel, sum.tiles, thread_grain(sum.tiles, sum.work), [&](int64_t begin, int64_t end) {
    const Scratch values(sum.tile_elements);
    for (int64_t tile = begin; tile < end; ++tile) {
      const auto chain = [&](const KPlan::Range& range, float* out) { sum.chain(tile, range, false, out); };
      const auto add = [&](const KPlan::Range& range, float* out) { sum.chain(tile, range, true, out); };
      sum_ranges(*sum.plan, sum.tile_elements, sum.formats, chain, values.data(),
                 sum.can_add ? RangeSums(add) : RangeSums());
      sum.finish(tile, values.data());
    }
  });
}

void run_tiles_and_ranges(const TiledSum& sum) {
  const std::vector<KPlan::Range> ranges = sum.plan->in_order();
  const int64_t n = sum.tile_elements, count = ranges.size(), items = sum.tiles * count;
  const Scratch results(items * n);
  parallel_for(sum.kernel, items, thread_grain(items, sum.work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      sum.chain(i / count, ranges[i % count], false, results.data() + i * n);
  });
  const Scratch values(n);
  for (int64_t tile = 0; tile < sum.tiles; ++tile) {
    const float* next = results.data() + tile * count * n;
    const auto take_next = [&](const KPlan::Range&, float* out) {
      std::copy_n(next, n, out);
      next += n;
    };
    sum_ranges(*sum.plan, n, sum.formats, take_next, values.data());
    sum.finish(tile, values.data());
  }
}

// Each leaf of each tile on its own; then the leaves are joined.
void run_tiles_and_leaves(const TiledSum& sum) {
  const int64_t n = sum.tile_elements, leaves = sum.plan->leaves.size(), items = sum.tiles * leaves;
  const Scratch results(items * n);
  parallel_for(sum.kernel, items, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const KPlan leaf{{sum.plan->leaves[i % leaves]}, sum.plan->join};
      const auto chain = [&](const KPlan::Range& k, float* out) { sum.chain(i / leaves, k, false, out); };
      const auto add = [&](const KPlan::Range& k, float* out) { sum.chain(i / leaves, k, true, out); };
      sum_ranges(leaf, n, sum.formats, chain, results.data() + i * n,
                 sum.can_add ? RangeSums(add) : RangeSums());
    }
  });
  KPlan joined{{}, sum.plan->join};
  for (int64_t i = 0; i < leaves; ++i) joined.leaves.push_back({{i, i + 1}});
  const Scratch values(n);
  for (int64_t tile = 0; tile < sum.tiles; ++tile) {
    const auto take = [&](const KPlan::Range& leaf, float* out) {
      std::copy_n(results.data() + (tile * leaves + leaf.begin) * n, n, out);
    };
    sum_ranges(joined, n, sum.formats, take, values.data());
    sum.finish(tile, values.data());
  }
}

bool leaves_are_worth_threads(const TiledSum& sum) {
  const int64_t items = sum.tiles * static_cast<int64_t>(sum.plan->leaves.size());
  return threads() > 1 && sum.tiles < kTilesPerThread * threads() && items > sum.tiles &&
         items >= 2 * threads() && items * sum.tile_elements <= kKeptSums && sum.work / items >= kWorkOfLeaf;
}

}  // namespace

KFormats k_formats(const Arithmetic& arithmetic, Dtype out) {
  return {arithmetic.accumulate, arithmetic.split_reduce_in_output ? out : Dtype::kF32};
}

bool is_sequence(const KPlan& plan, const KFormats& formats) {
  if (plan.ranges() == 1) return true;
  if (formats.accumulate != Dtype::kF32 || formats.parts != Dtype::kF32) return false;
  if (plan.leaves.size() == 1) return true;
  return plan.join == KPlan::Join::kChain && plan.ranges() == static_cast<int64_t>(plan.leaves.size());
}

int64_t thread_grain(int64_t items, int64_t work) {
  return std::max<int64_t>(1, kWorkPerThread * items / std::max<int64_t>(work, 1));
}

void run_tiled_sum(const TiledSum& sum) {
  if (leaves_are_worth_threads(sum))
    run_tiles_and_leaves(sum);
  else if (sum.tiles >= threads() || sum.plan->ranges() < 2)
    run_tiles(sum);
  else
    run_tiles_and_ranges(sum);
}

}  // namespace faultline
