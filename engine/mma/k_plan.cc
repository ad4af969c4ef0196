#include "engine/mma/k_plan.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <numeric>
#include <string>

#include "engine/base/error.h"
#include "engine/numerics/philox.h"

namespace faultline {
namespace {

constexpr int64_t kShuffledBlock = 256, kPartMultiple = 8;

std::vector<KPlan::Range> cut(int64_t begin, int64_t end, int64_t block) {
  std::vector<KPlan::Range> ranges;
  for (; begin < end; begin += block) ranges.push_back({begin, std::min(begin + block, end)});
  return ranges;
}

// Puts the ranges of each leaf in an order drawn from the arithmetic's stream, leaf after leaf.
void shuffle_ranges(KPlan& plan, const Arithmetic& arithmetic) {
  Draws draws(arithmetic.order_seed, "order/" + std::to_string(arithmetic.order_stream));
  for (std::vector<KPlan::Range>& leaf : plan.leaves) {
    std::vector<int32_t> order(leaf.size());
    std::iota(order.begin(), order.end(), 0);
    shuffle(order, draws);
    const std::vector<KPlan::Range> rising = leaf;
    for (size_t i = 0; i < order.size(); ++i) leaf[i] = rising[order[i]];
  }
}

uint32_t select(bool condition, uint32_t yes, uint32_t no) {
  const uint32_t mask = -uint32_t{condition};
  return (yes & mask) | (no & ~mask);
}

// to_f32(f16_from_f32(value)) without branches, so that a loop over it becomes vector code.
float rounded_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffff;
  const uint32_t nearest = (magnitude + 0xfff + (magnitude >> 13 & 1)) & ~0x1fffu;
  // The sum is 0.5 and whole steps of 2^-24.
  const float subnormal = (std::bit_cast<float>(magnitude) + 0.5f) - 0.5f;
  uint32_t result = select(magnitude < 0x38800000, std::bit_cast<uint32_t>(subnormal), nearest);
  result = select(magnitude >= 0x477ff000, 0x7f800000, result);  // 65520
  result = select(magnitude > 0x7f800000, (0x7fc00000 | magnitude) & ~0x1fffu, result);
  return std::bit_cast<float>((bits & 0x80000000) | result);
}

void round_all(float* values, int64_t n, Dtype format) {
  switch (format) {
    case Dtype::kF32:
      return;
    case Dtype::kF16:
      for (int64_t i = 0; i < n; ++i) values[i] = rounded_to_f16(values[i]);
      return;
    default:
      for (int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(round_to(values[i], format));
  }
}

void add_all(float* sum, const float* values, int64_t n, Dtype format) {
  for (int64_t i = 0; i < n; ++i) sum[i] += values[i];
  round_all(sum, n, format);
}

// Evaluates a plan for n outputs. Scratch holds the right operand of every addition under way: one a level.
class Summer {
 public:
  Summer(const KPlan& plan, int64_t n, const KFormats& formats, const RangeSums& chain,
         const RangeSums& add_chain)
      : plan_(plan), n_(n), formats_(formats), chain_(chain), add_chain_(add_chain) {}

  void leaf(int64_t leaf, int64_t level, float* sum) {
    const std::vector<KPlan::Range>& ranges = plan_.leaves[leaf];
    chain_(ranges.front(), sum);
    for (size_t i = 1; i < ranges.size(); ++i) add_range(ranges[i], level, sum);
  }

  // Neighbours pairwise with an odd one passing up: the left subtree is the largest power of two of leaves.
  void tree(int64_t first, int64_t leaves, int64_t level, float* sum) {
    if (leaves == 1) return leaf(first, level, sum);
    const int64_t left = std::bit_floor(static_cast<uint64_t>(leaves - 1));
    tree(first, left, level, sum);
    if (is_range(first + left) && leaves - left == 1)
      return add_range(plan_.leaves[first + left].front(), level, sum);
    float* right = scratch(level);
    tree(first + left, leaves - left, level + 1, right);
    add_all(sum, right, n_, formats_.accumulate);
  }

  void chain(float* sum) {
    leaf(0, 0, sum);
    for (size_t i = 1; i < plan_.leaves.size(); ++i) {
      if (is_range(i) && formats_.parts == Dtype::kF32) {
        add_range(plan_.leaves[i].front(), 0, sum);
        continue;
      }
      float* next = scratch(0);
      if (i == 1) round_all(sum, n_, formats_.parts);
      leaf(i, 1, next);
      round_all(next, n_, formats_.parts);
      add_all(sum, next, n_, formats_.accumulate);
      round_all(sum, n_, formats_.parts);
    }
  }

 private:
  bool is_range(int64_t leaf) const { return plan_.leaves[leaf].size() == 1; }

  void add_range(const KPlan::Range& range, int64_t level, float* sum) {
    if (add_chain_ && formats_.accumulate == Dtype::kF32) return add_chain_(range, sum);
    float* next = scratch(level);
    chain_(range, next);
    add_all(sum, next, n_, formats_.accumulate);
  }

  float* scratch(int64_t level) {
    if (!scratch_) {
      const int64_t levels = std::bit_width(plan_.leaves.size());
      scratch_ = std::make_unique_for_overwrite<float[]>(levels * n_);
    }
    return scratch_.get() + level * n_;
  }

  const KPlan& plan_;
  int64_t n_;
  KFormats formats_;
  const RangeSums& chain_;
  const RangeSums& add_chain_;
  std::unique_ptr<float[]> scratch_;
};

}  // namespace

int64_t KPlan::ranges() const {
  int64_t count = 0;
  for (const auto& leaf : leaves) count += leaf.size();
  return count;
}

std::vector<KPlan::Range> KPlan::in_order() const {
  std::vector<Range> all;
  for (const auto& leaf : leaves) all.insert(all.end(), leaf.begin(), leaf.end());
  return all;
}

KPlan plan_k(int64_t k, int64_t k_per_leaf, bool gradient_sum, const Arithmetic& arithmetic) {
  if (k < 0 || k_per_leaf < 0 || arithmetic.split_k < 1) {
    throw Error(ErrorCode::kArgument, "k plan",
                "k " + std::to_string(k) + ", terms per leaf " + std::to_string(k_per_leaf) + ", split_k " +
                    std::to_string(arithmetic.split_k) +
                    ": sizes are not negative and split_k is at least 1");
  }
  const bool fma = arithmetic.unit == kFmaUnit;
  const bool shuffled = gradient_sum && arithmetic.order == Order::kShuffled;
  const int64_t block = shuffled ? kShuffledBlock : fma ? kChainBlock : std::max<int64_t>(k, 1);
  KPlan plan;
  int64_t part = std::max<int64_t>(k, 1);
  if (arithmetic.split_k > 1) {
    const int64_t equal = (k + arithmetic.split_k - 1) / arithmetic.split_k;
    part = std::max<int64_t>((equal + kPartMultiple - 1) / kPartMultiple, 1) * kPartMultiple;
    plan.join = KPlan::Join::kChain;
  } else if (k_per_leaf > 0 && adds_by_leaves(arithmetic) && !shuffled) {
    part = k_per_leaf;
  }
  for (int64_t begin = 0; begin < k; begin += part) {
    plan.leaves.push_back(cut(begin, std::min(begin + part, k), block));
  }
  if (shuffled) shuffle_ranges(plan, arithmetic);
  return plan;
}

void sum_ranges(const KPlan& plan, int64_t n, const KFormats& formats, const RangeSums& chain, float* out,
                const RangeSums& add_chain) {
  if (plan.leaves.empty()) {
    std::fill_n(out, n, 0.0f);
    return;
  }
  Summer summer(plan, n, formats, chain, add_chain);
  if (plan.join == KPlan::Join::kTree)
    summer.tree(0, plan.leaves.size(), 0, out);
  else
    summer.chain(out);
}

}  // namespace faultline
