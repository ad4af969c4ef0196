#pragma once

#include <cstdint>
#include <map>

#include "engine/kernels/scratch.h"
#include "engine/mma/k_plan.h"
#include "engine/mma/unit.h"

namespace faultline {

// An operand that a unit's tiles have packed as a whole, each range of a plan by itself.
class PackedOperand {
 public:
  // Of an operand [size, K]; runs in parallel under the name `kernel`.
  PackedOperand(const char* kernel, const UnitTiles& tiles, UnitSide side, const UnitOperand& operand,
                int64_t size, int64_t K, const KPlan& plan);

  // The rows from `begin` on, a multiple of kUnitBlock, in one range of the plan.
  UnitOperand rows(int64_t begin, const KPlan::Range& range) const;

 private:
  int64_t size_;
  std::map<int64_t, int64_t> k_before_;  // of the range that begins there: the packed k of those before it
  Scratch storage_;
  Bf16* packed_;
};

// A unit with tiles does so many multiply-adds in the time of one of our own product.
inline constexpr int64_t kTileSpeed = 8;

}  // namespace faultline
