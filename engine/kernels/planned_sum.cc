#include "engine/kernels/planned_sum.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <atomic>
#include <span>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/scratch.h"

namespace faultline {
namespace {

constexpr int64_t kWorkPerThread = 1 << 17;
// Multiply-adds of a leaf of a tile that outweigh what it takes to keep its sums.
constexpr int64_t kWorkOfLeaf = 1 << 20;
// So many tiles for each thread leave enough to take over from a slow one.
constexpr int64_t kTilesPerThread = 4;
constexpr int64_t kLine = 16;  // floats in a line of the cache
// A thread joins results for so many lines at least, and asks for the lines of so many results ahead.
constexpr int64_t kLinesOfPiece = 32, kResultsAhead = 4;
// The sums of leaves that are kept at most, of all tiles.
constexpr int64_t kKeptSums = 1 << 22;

void sum_tile(const TiledSum& sum, const KPlan& plan, int64_t tile, float* values) {
  const auto chain = [&](const KPlan::Range& range, float* out) { sum.chain(tile, range, false, out); };
  const auto add = [&](const KPlan::Range& range, float* out) { sum.chain(tile, range, true, out); };
  sum_ranges(plan, sum.tile_elements, sum.formats, chain, values, sum.can_add ? RangeSums(add) : RangeSums());
}

void run_tiles(const TiledSum& sum) {
  parallel_for(sum.kernel, sum.tiles, thread_grain(sum.tiles, sum.work), [&](int64_t begin, int64_t end) {
    const Scratch values(sum.tile_elements);
    for (int64_t tile = begin; tile < end; ++tile) {
      sum_tile(sum, *sum.plan, tile, values.data());
      sum.finish(tile, values.data());
    }
  });
}

// How many of the lines of sums, to which `values` are added in all, are worth a thread.
int64_t grain_of_join(int64_t lines, int64_t values) {
  return std::max(kLinesOfPiece, thread_grain(lines, kMoveWork * values));
}

// Adds `count` results of n values each to n sums, one after the other; each thread to its share of the sums.
void add_results(const TiledSum& sum, const float* results, int64_t count, int64_t n, float* sums) {
  const int64_t lines = ceil_div(n, kLine);
  parallel_for(sum.kernel, lines, grain_of_join(lines, count * n),
               [&](int64_t first_line, int64_t last_line) {
                 const int64_t begin = first_line * kLine, end = std::min(last_line * kLine, n);
                 for (const float* values = results; values < results + count * n; values += n) {
                   for (int64_t i = begin; i < end; i += kLine) hwy::Prefetch(values + kResultsAhead * n + i);
                   for (int64_t i = begin; i < end; ++i) sums[i] += values[i];
                 }
               });
}

// The ranges of each tile, a sequence, so many at a time that the caches hold their results. A range that is next in the
// sum is added at once: all of the thread that begins with the first one. The results of the others are kept, and added
// when all are there.
void run_tiles_and_ranges(const TiledSum& sum) {
  const std::vector<KPlan::Range> ranges = sum.plan->in_order();
  const int64_t n = sum.tile_elements, all = ranges.size();
  const int64_t of_thread = std::max(results_in_cache(sum.tiles * n), kRangesOfThread);
  const int64_t most = std::min(of_thread * threads(), all);
  const Scratch sums(sum.tiles * n), results(sum.tiles * most * n);
  std::vector<std::atomic<int64_t>> added(sum.tiles);  // ranges of a tile
  for (int64_t first = 0; first < all; first += most) {
    const int64_t count = std::min(most, all - first), items = sum.tiles * count;
    parallel_for(sum.kernel, items, thread_grain(items, sum.work * count / all),
                 [&](int64_t begin, int64_t end) {
                   // It looks at what is added once: as often as that is written its line would cross to others.
                   for (int64_t i = begin, last; i < end; i = last) {
                     const int64_t tile = i / count;
                     last = std::min(end, (tile + 1) * count);
                     const bool next = added[tile] == first + i % count;
                     for (int64_t item = i; item < last; ++item) {
                       const int64_t r = first + item % count;
                       float* const values = next ? sums.data() + tile * n : results.data() + item * n;
                       sum.chain(tile, ranges[r], next && r > 0, values);
                     }
                     if (next) added[tile] = first + (last - 1) % count + 1;
                   }
                 });
    for (int64_t tile = 0; tile < sum.tiles; ++tile) {
      const int64_t done = added[tile] - first;
      add_results(sum, results.data() + (tile * count + done) * n, count - done, n, sums.data() + tile * n);
      added[tile] = first + count;
    }
  }
  for (int64_t tile = 0; tile < sum.tiles; ++tile) sum.finish(tile, sums.data() + tile * n);
}

// The ranges of each tile, or its leaves, each on its own; then they are joined.
void run_tiles_and_parts(const TiledSum& sum, bool whole_leaves) {
  const KPlan& plan = *sum.plan;
  std::vector<std::span<const KPlan::Range>> parts;
  KPlan joined{{}, plan.join};  // of the parts' numbers
  for (const std::vector<KPlan::Range>& leaf : plan.leaves) {
    std::vector<KPlan::Range>& numbers = joined.leaves.emplace_back();
    const size_t size = whole_leaves ? leaf.size() : 1;
    for (size_t i = 0; i < leaf.size(); i += size) {
      const int64_t number = parts.size();
      numbers.push_back({number, number + 1});
      parts.push_back(std::span(leaf).subspan(i, size));
    }
  }
  const int64_t n = sum.tile_elements, count = parts.size(), items = sum.tiles * count;
  const Scratch results(items * n);
  parallel_for(sum.kernel, items, thread_grain(items, sum.work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto& part = parts[i % count];
      float* const values = results.data() + i * n;
      if (part.size() == 1)
        sum.chain(i / count, part[0], false, values);
      else
        sum_tile(sum, KPlan{{{part.begin(), part.end()}}, plan.join}, i / count, values);
    }
  });
  const Scratch values(n);
  const int64_t lines = ceil_div(n, kLine);
  for (int64_t tile = 0; tile < sum.tiles; ++tile) {
    const float* const of_tile = results.data() + tile * count * n;
    // Each thread joins its share of the elements.
    const int64_t grain = grain_of_join(lines, count * n);
    parallel_for(sum.kernel, lines, grain, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kLine, size = std::min(end * kLine, n) - first;
      const auto result = [&](const KPlan::Range& part) { return of_tile + part.begin * n + first; };
      const auto take = [&](const KPlan::Range& part, float* out) { std::copy_n(result(part), size, out); };
      const auto add = [&](const KPlan::Range& part, float* out) {
        for (int64_t i = 0; i < size; ++i) out[i] += result(part)[i];
      };
      sum_ranges(joined, size, sum.formats, take, values.data() + first, add);
    });
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

int64_t results_in_cache(int64_t outputs) {
  return l2_cache_bytes() / static_cast<int64_t>(sizeof(float)) / std::max<int64_t>(outputs, 1);
}

int64_t thread_grain(int64_t items, int64_t work) {
  return std::max<int64_t>(1, kWorkPerThread * items / std::max<int64_t>(work, 1));
}

void run_tiled_sum(const TiledSum& sum) {
  if (leaves_are_worth_threads(sum))
    run_tiles_and_parts(sum, true);
  else if (sum.tiles >= threads() || sum.plan->ranges() < 2)
    run_tiles(sum);
  else if (sum.can_add && is_sequence(*sum.plan, sum.formats))
    run_tiles_and_ranges(sum);
  else
    run_tiles_and_parts(sum, false);
}

}  // namespace faultline
