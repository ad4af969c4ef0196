#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/mma/k_plan.h"
#include "engine/mma/unit.h"

namespace faultline {

// A product c [M, N] = left [M, K] times right [K, N] by any unit, range by range of a plan, in tiles. A unit with
// a plain model computes every element by itself, so that tiles do not change a bit.
struct UnitSum {
  struct Interval {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
  };

  const char* kernel;  // its name in threads_used()
  const Unit& unit;
  const KPlan& plan;
  KFormats formats;
  Dtype input;
  int64_t K;
  const float* left;  // [M, K], dense and widened
  std::vector<Interval> rows, columns;
  // Takes the finished sums of a tile, dense; it may change them.
  std::function<void(const Interval& m, const Interval& n, float* sums)> finish;
  // Writes rows k of the columns n of right, dense and widened.
  std::function<void(const KPlan::Range& k, const Interval& n, float* out)> right;
  // Or, instead of it: multiplies m rows of left, which lie dense in k, by rows k of the columns n of right.
  std::function<void(const KPlan::Range& k, int64_t m, const Interval& n, const float* left, float* out)>
      multiply = {};
};
void run_unit_sum(const UnitSum& sum);

// Cuts [0, n) into intervals of `size`; the last may be shorter.
std::vector<UnitSum::Interval> cut_into(int64_t n, int64_t size);

}  // namespace faultline
