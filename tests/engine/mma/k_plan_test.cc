#include "engine/mma/k_plan.h"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "engine/base/error.h"

namespace faultline {
namespace {

using Ranges = std::vector<KPlan::Range>;
using Leaves = std::vector<Ranges>;

std::string text(const KPlan& plan) {
  std::string text = plan.join == KPlan::Join::kTree ? "tree" : "chain";
  for (const Ranges& leaf : plan.leaves) {
    text += " |";
    for (const auto& [begin, end] : leaf) text += " " + std::to_string(begin) + "-" + std::to_string(end);
  }
  return text;
}

Arithmetic split(int parts) {
  Arithmetic arithmetic;
  arithmetic.split_k = parts;
  return arithmetic;
}

Arithmetic shuffled(uint64_t seed, uint64_t stream) {
  Arithmetic arithmetic;
  arithmetic.order = Order::kShuffled;
  arithmetic.order_seed = seed;
  arithmetic.order_stream = stream;
  return arithmetic;
}

// Adds names, so that the order of additions can be read back.
std::string formula(const KPlan& plan) {
  std::vector<std::string> names;
  const auto chain = [&](const KPlan::Range& range, float* out) {
    *out = static_cast<float>(names.size());
    names.push_back(std::to_string(range.begin));
  };
  float result = 0;
  sum_ranges(plan, 1, {}, chain, &result);
  std::string order;
  for (const std::string& name : names) order += name + " ";
  return order;
}

TEST_CASE("k plan: blocks of 512 in one leaf where the index holds no sample") {
  CHECK(text(plan_k(0, 0, false, {})) == "tree");
  CHECK(text(plan_k(1, 0, false, {})) == "tree | 0-1");
  CHECK(text(plan_k(512, 0, false, {})) == "tree | 0-512");
  CHECK(text(plan_k(1100, 0, true, {})) == "tree | 0-512 512-1024 1024-1100");
}

TEST_CASE("k plan: leaves of 8 samples, each cut in blocks from its own start") {
  CHECK(text(plan_k(20, 8, true, {})) == "tree | 0-8 | 8-16 | 16-20");
  CHECK(text(plan_k(1500, 700, true, {})) == "tree | 0-512 512-700 | 700-1212 1212-1400 | 1400-1500");
}

TEST_CASE("k plan: split_k cuts parts of a multiple of 8 and joins them as a chain") {
  CHECK(text(plan_k(100, 8, true, split(3))) == "chain | 0-40 | 40-80 | 80-100");
  CHECK(text(plan_k(2000, 0, false, split(2))) == "chain | 0-512 512-1000 | 1000-1512 1512-2000");
  CHECK(text(plan_k(10, 0, false, split(4))) == "chain | 0-8 | 8-10");
  CHECK(text(plan_k(0, 0, false, split(4))) == "chain");
}

TEST_CASE("k plan: leaf and chain can be chosen for any unit") {
  Arithmetic arithmetic;
  arithmetic.k_plan = KPlanRule::kChain;
  CHECK(text(plan_k(1100, 40, true, arithmetic)) == "tree | 0-512 512-1024 1024-1100");
  arithmetic.unit = "h100";
  CHECK(text(plan_k(1100, 40, true, arithmetic)) == "tree | 0-1100");
  arithmetic.k_plan = KPlanRule::kLeaf;
  CHECK(text(plan_k(1500, 700, true, arithmetic)) == "tree | 0-700 | 700-1400 | 1400-1500");
  CHECK(text(plan_k(1500, 0, false, arithmetic)) == "tree | 0-1500");
  arithmetic.split_k = 2;
  CHECK(text(plan_k(1500, 700, true, arithmetic)) == "chain | 0-752 | 752-1500");
}

TEST_CASE("k plan: another unit takes the whole k, samples included") {
  Arithmetic arithmetic = split(1);
  arithmetic.unit = "eigen";
  CHECK(text(plan_k(5000, 40, true, arithmetic)) == "tree | 0-5000");
  arithmetic.split_k = 2;
  CHECK(text(plan_k(5000, 40, true, arithmetic)) == "chain | 0-2504 | 2504-5000");
}

TEST_CASE("k plan: shuffled takes blocks of 256 of gradient sums in an order drawn from seed and stream") {
  CHECK(plan_k(3000, 0, false, shuffled(1, 1)).leaves == plan_k(3000, 0, false, {}).leaves);
  const KPlan plan = plan_k(10000, 80, true, shuffled(1, 1));
  REQUIRE(plan.leaves.size() == 1);
  CHECK(plan.leaves == plan_k(10000, 80, true, shuffled(1, 1)).leaves);
  CHECK(plan.leaves != plan_k(10000, 80, true, shuffled(2, 1)).leaves);
  CHECK(plan.leaves != plan_k(10000, 80, true, shuffled(1, 2)).leaves);
  Ranges sorted = plan.leaves[0];
  CHECK(sorted.size() == 40);
  std::sort(sorted.begin(), sorted.end(), [](auto a, auto b) { return a.begin < b.begin; });
  CHECK(sorted != plan.leaves[0]);
  for (size_t i = 0; i < sorted.size(); ++i) {
    CHECK(sorted[i] == KPlan::Range{static_cast<int64_t>(i) * 256, std::min<int64_t>(i * 256 + 256, 10000)});
  }
}

TEST_CASE("k plan: shuffled orders are uniform") {
  // 3 blocks have 6 orders; 6000 draws give each 1000 with a standard deviation of 29.
  std::map<std::string, int> counts;
  for (uint64_t seed = 0; seed < 6000; ++seed) ++counts[text(plan_k(768, 0, true, shuffled(seed, 3)))];
  REQUIRE(counts.size() == 6);
  for (const auto& [order, count] : counts) CHECK(std::abs(count - 1000) < 6 * 29);
}

TEST_CASE("sum_ranges: leaves join by the tree of neighbours, an odd one passes up") {
  // The sum of 2^24, 1, 1, ... shows where each 1 was added.
  for (int leaves = 1; leaves <= 19; ++leaves) {
    const KPlan plan = plan_k(leaves, 1, true, {});
    const auto value = [](int64_t i) {
      return std::ldexp(1.0f + static_cast<float>(i), i % 3 == 0 ? 23 : 0);
    };
    std::vector<float> level;
    for (int i = 0; i < leaves; ++i) level.push_back(value(i));
    while (level.size() > 1) {
      std::vector<float> next;
      for (size_t i = 0; i < level.size(); i += 2) {
        next.push_back(i + 1 < level.size() ? level[i] + level[i + 1] : level[i]);
      }
      level = next;
    }
    float got[2];
    const auto chain = [&](const KPlan::Range& r, float* out) { out[0] = out[1] = value(r.begin); };
    sum_ranges(plan, 2, {}, chain, got);
    CHECK(got[0] == level[0]);
    CHECK(got[1] == level[0]);
  }
}

TEST_CASE("sum_ranges: ranges are asked for in the plan's order, and none gives +0") {
  CHECK(formula(plan_k(1100, 600, true, {})) == "0 512 600 ");
  float result = 5;
  sum_ranges(
      plan_k(0, 0, false, {}), 1, {}, [](const KPlan::Range&, float*) { FAIL(); }, &result);
  CHECK(result == 0);
  CHECK_FALSE(std::signbit(result));
}

TEST_CASE("sum_ranges: ranges that add themselves give the same bits, each asked for once") {
  const auto value = [](const KPlan::Range& r) { return std::sin(static_cast<float>(r.begin)); };
  const auto chain = [&](const KPlan::Range& r, float* out) { *out = value(r); };
  for (const KPlan& plan : {plan_k(3000, 0, false, {}), plan_k(5000, 1100, true, {}),
                            plan_k(5000, 300, true, {}), plan_k(4000, 0, false, split(3)),
                            plan_k(40, 0, false, split(5)), plan_k(3000, 600, true, shuffled(1, 2))}) {
    for (const KFormats& formats :
         {KFormats{}, KFormats{Dtype::kF16, Dtype::kF32}, KFormats{Dtype::kF32, Dtype::kF16}}) {
      float expected = 0, got = 0;
      sum_ranges(plan, 1, formats, chain, &expected);
      std::vector<KPlan::Range> asked;
      sum_ranges(
          plan, 1, formats, [&](const KPlan::Range& r, float* out) { asked.push_back(r), *out = value(r); },
          &got, [&](const KPlan::Range& r, float* out) { asked.push_back(r), *out += value(r); });
      CHECK(got == expected);
      CHECK(asked == plan.in_order());
    }
  }
}

TEST_CASE("sum_ranges: one range keeps the sign of zero") {
  float result = 0;
  sum_ranges(
      plan_k(3, 0, false, {}), 1, {}, [](const KPlan::Range&, float* out) { *out = -0.0f; }, &result);
  CHECK(std::signbit(result));
}

TEST_CASE("sum_ranges: parts and their sum are rounded to the output type if asked for") {
  const float parts[] = {2048.0f, 1.0f, 1.0f + 0x1p-11f, 3.0f};
  const auto chain = [&](const KPlan::Range& r, float* out) { *out = parts[r.begin / 8]; };
  float in_f32, in_f16;
  sum_ranges(plan_k(32, 0, false, split(4)), 1, {}, chain, &in_f32);
  sum_ranges(plan_k(32, 0, false, split(4)), 1, {Dtype::kF32, Dtype::kF16}, chain, &in_f16);
  CHECK(in_f32 == 2053.0f + 0x1p-11f);
  CHECK(in_f16 == 2052.0f);  // 2048 + 1 -> 2048, + 1 -> 2048, + 3 = 2051 -> 2052
}

TEST_CASE("k plan: sizes out of range are refused") {
  CHECK_THROWS_AS(plan_k(-1, 0, false, {}), Error);
  CHECK_THROWS_AS(plan_k(1, -1, false, {}), Error);
  CHECK_THROWS_AS(plan_k(1, 0, false, split(0)), Error);
}

TEST_CASE("parts in f16 are rounded as one conversion rounds them, whatever their bits") {
  std::vector<float> parts;
  for (uint32_t top = 0; top < 1 << 16; ++top) {
    for (const uint32_t low : {0u, 1u, 0x0fffu, 0x1000u, 0x1001u, 0x7fffu, 0xf000u, 0xffffu}) {
      parts.push_back(std::bit_cast<float>(top << 16 | low));
    }
  }
  std::vector<float> got(parts.size());
  const auto chain = [&](const KPlan::Range& range, float* values) {
    for (size_t i = 0; i < parts.size(); ++i) values[i] = range.begin == 0 ? parts[i] : -0.0f;
  };
  sum_ranges(plan_k(16, 0, false, split(2)), parts.size(), {Dtype::kF32, Dtype::kF16}, chain, got.data());
  int64_t different = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    different += std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(to_f32(f16_from_f32(parts[i])));
  }
  CHECK(different == 0);
}

}  // namespace
}  // namespace faultline
