#include "engine/kernels/unit_sum.h"

#include <algorithm>

#include "engine/kernels/planned_sum.h"
#include "engine/kernels/scratch.h"

namespace faultline {
namespace {

using Interval = UnitSum::Interval;

// A multiply-add of a model in those of our own product.
constexpr int64_t kModelWork = 5;

int64_t largest(const std::vector<Interval>& intervals) {
  int64_t size = 0;
  for (const Interval& interval : intervals) size = std::max(size, interval.size());
  return size;
}

// The unit's sums over one range of k for one tile.
void multiply(const UnitSum& sum, const Interval& m, const Interval& n, const KPlan::Range& k, float* out) {
  const int64_t depth = k.end - k.begin;
  const float* left = sum.left + m.begin * sum.K;
  const Scratch part(depth < sum.K ? m.size() * depth : 0);
  if (depth < sum.K) {
    for (int64_t i = 0; i < m.size(); ++i) {
      std::copy_n(left + i * sum.K + k.begin, depth, part.data() + i * depth);
    }
    left = part.data();
  }
  if (sum.multiply) return sum.multiply(k, m.size(), n, left, out);
  const Scratch right(depth * n.size());
  sum.right(k, n, right.data());
  sum.unit.product({m.size(), n.size(), depth, left, right.data(), out, sum.input, sum.formats.accumulate});
}

}  // namespace

void run_unit_sum(const UnitSum& sum) {
  const int64_t tile_rows = sum.rows.size();
  const auto rows = [&](int64_t tile) -> const Interval& { return sum.rows[tile % tile_rows]; };
  const auto columns = [&](int64_t tile) -> const Interval& { return sum.columns[tile / tile_rows]; };
  TiledSum tiled{sum.kernel, &sum.plan, sum.formats};
  tiled.tiles = tile_rows * static_cast<int64_t>(sum.columns.size());
  tiled.tile_elements = largest(sum.rows) * largest(sum.columns);
  tiled.work = kModelWork * sum.rows.back().end * sum.columns.back().end * sum.K;
  tiled.chain = [&](int64_t tile, const KPlan::Range& range, bool, float* values) {
    const Interval &m = rows(tile), &n = columns(tile);
    if (sum.plan.ranges() > 1) std::fill_n(values, tiled.tile_elements, 0.0f);  // all of them are added
    multiply(sum, m, n, range, values);
  };
  tiled.finish = [&](int64_t tile, float* sums) { sum.finish(rows(tile), columns(tile), sums); };
  run_tiled_sum(tiled);
}

std::vector<Interval> cut_into(int64_t n, int64_t size) {
  std::vector<Interval> intervals;
  for (int64_t begin = 0; begin < n; begin += size) intervals.push_back({begin, std::min(begin + size, n)});
  return intervals;
}

}  // namespace faultline
