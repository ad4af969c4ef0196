#include "engine/kernels/packed_operand.h"

#include <algorithm>

#include "engine/base/parallel.h"
#include "engine/kernels/planned_sum.h"

namespace faultline {
namespace {

constexpr int64_t kLineBytes = 64;

std::map<int64_t, int64_t> packed_before(const KPlan& plan) {
  std::map<int64_t, int64_t> before, depth;
  for (const auto& leaf : plan.leaves) {
    for (const KPlan::Range& range : leaf) depth[range.begin] = round_to_unit_block(range.end - range.begin);
  }
  int64_t sum = 0;
  for (const auto& [begin, size] : depth) {
    before[begin] = sum;
    sum += size;
  }
  return before;
}

int64_t packed_depth(const KPlan& plan) {
  int64_t sum = 0;
  for (const auto& leaf : plan.leaves) {
    for (const KPlan::Range& range : leaf) sum += round_to_unit_block(range.end - range.begin);
  }
  return sum;
}

}  // namespace

PackedOperand::PackedOperand(const char* kernel, const UnitTiles& tiles, UnitSide side,
                             const UnitOperand& operand, int64_t size, int64_t K, const KPlan& plan)
    : size_(size),
      k_before_(packed_before(plan)),
      storage_((round_to_unit_block(size) * packed_depth(plan) * sizeof(Bf16) + kLineBytes) / sizeof(float)) {
  const auto address = reinterpret_cast<uintptr_t>(storage_.data());
  packed_ = reinterpret_cast<Bf16*>((address + kLineBytes - 1) / kLineBytes * kLineBytes);
  const int64_t blocks = round_to_unit_block(size) / kUnitBlock;
  const int64_t grain = thread_grain(blocks, size * K);
  for (const auto& leaf : plan.leaves) {
    for (const KPlan::Range& range : leaf) {
      parallel_for(kernel, blocks, grain, [&](int64_t begin, int64_t end) {
        const int64_t first = begin * kUnitBlock;
        tiles.pack(operand.from(first, range.begin), side, std::min(end * kUnitBlock, size) - first,
                   range.end - range.begin, const_cast<Bf16*>(rows(first, range).packed));
      });
    }
  }
}

UnitOperand PackedOperand::rows(int64_t begin, const KPlan::Range& range) const {
  const int64_t depth = round_to_unit_block(range.end - range.begin);
  const int64_t before = k_before_.at(range.begin) * round_to_unit_block(size_);
  return {.packed = packed_ + before + begin * depth};
}

}  // namespace faultline
