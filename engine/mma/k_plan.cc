#include "engine/mma/k_plan.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

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

void round_all(float* values, int64_t n, Dtype format) {
  if (format == Dtype::kF32) return;
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(round_to(values[i], format));
}

void add_all(float* sum, const float* values, int64_t n, Dtype format) {
  for (int64_t i = 0; i < n; ++i) sum[i] += values[i];
  round_all(sum, n, format);
}

// Evaluates a plan; buffers of n values are kept for the next leaf.
class Summer {
 public:
  Summer(int64_t n, const KFormats& formats, const std::function<void(const KPlan::Range&, float*)>& chain)
      : n_(n), formats_(formats), chain_(chain) {}

  void leaf(const std::vector<KPlan::Range>& ranges, float* sum) {
    chain_(ranges.front(), sum);
    if (ranges.size() == 1) return;
    std::vector<float> next = take();
    for (size_t i = 1; i < ranges.size(); ++i) {
      chain_(ranges[i], next.data());
      add_all(sum, next.data(), n_, formats_.accumulate);
    }
    give(std::move(next));
  }

  void join_chain(const std::vector<std::vector<KPlan::Range>>& leaves, float* sum) {
    leaf(leaves.front(), sum);
    round_all(sum, n_, formats_.parts);
    std::vector<float> next = take();
    for (size_t i = 1; i < leaves.size(); ++i) {
      leaf(leaves[i], next.data());
      round_all(next.data(), n_, formats_.parts);
      add_all(sum, next.data(), n_, formats_.accumulate);
      round_all(sum, n_, formats_.parts);
    }
  }

  // Two finished subtrees of equal height join at once; those that are left at the end join from the right,
  // which is where the odd ones of each level have passed up to.
  void join_tree(const std::vector<std::vector<KPlan::Range>>& leaves, float* sum) {
    std::vector<std::pair<int, std::vector<float>>> subtrees;
    for (const auto& ranges : leaves) {
      subtrees.emplace_back(0, take());
      leaf(ranges, subtrees.back().second.data());
      while (subtrees.size() > 1 && subtrees.back().first == subtrees.end()[-2].first)
        join_last_two(subtrees);
    }
    while (subtrees.size() > 1) join_last_two(subtrees);
    std::copy_n(subtrees.front().second.data(), n_, sum);
  }

 private:
  void join_last_two(std::vector<std::pair<int, std::vector<float>>>& subtrees) {
    std::vector<float> right = std::move(subtrees.back().second);
    subtrees.pop_back();
    add_all(subtrees.back().second.data(), right.data(), n_, formats_.accumulate);
    ++subtrees.back().first;
    give(std::move(right));
  }

  std::vector<float> take() {
    if (free_.empty()) return std::vector<float>(n_);
    std::vector<float> buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
  }
  void give(std::vector<float> buffer) { free_.push_back(std::move(buffer)); }

  int64_t n_;
  KFormats formats_;
  const std::function<void(const KPlan::Range&, float*)>& chain_;
  std::vector<std::vector<float>> free_;
};

}  // namespace

int64_t KPlan::ranges() const {
  int64_t count = 0;
  for (const auto& leaf : leaves) count += leaf.size();
  return count;
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
  } else if (k_per_leaf > 0 && fma && !shuffled) {
    part = k_per_leaf;
  }
  for (int64_t begin = 0; begin < k; begin += part) {
    plan.leaves.push_back(cut(begin, std::min(begin + part, k), block));
  }
  if (shuffled) shuffle_ranges(plan, arithmetic);
  return plan;
}

void sum_ranges(const KPlan& plan, int64_t n, const KFormats& formats,
                const std::function<void(const KPlan::Range&, float*)>& chain, float* out) {
  Summer summer(n, formats, chain);
  if (plan.leaves.empty())
    std::fill_n(out, n, 0.0f);
  else if (plan.leaves.size() == 1)
    summer.leaf(plan.leaves.front(), out);
  else if (plan.join == KPlan::Join::kChain)
    summer.join_chain(plan.leaves, out);
  else
    summer.join_tree(plan.leaves, out);
}

}  // namespace faultline
