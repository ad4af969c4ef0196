#include "engine/numerics/sum.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>

namespace faultline {
namespace {

// Writes a sum as the text of its order.
struct Term {
  std::string text;
  Term& operator+=(const Term& other) {
    text = "(" + text + "+" + other.text + ")";
    return *this;
  }
};

std::string joined(int count) {
  std::vector<Term> leaves;
  for (int i = 0; i < count; ++i) leaves.push_back({std::to_string(i)});
  return tree_join(leaves).text;
}

TEST_CASE("sum: the tree joins neighbours pairwise and passes an odd one up") {
  CHECK(joined(0).empty());
  CHECK(joined(1) == "0");
  CHECK(joined(2) == "(0+1)");
  CHECK(joined(3) == "((0+1)+2)");
  CHECK(joined(5) == "(((0+1)+(2+3))+4)");
  CHECK(joined(7) == "(((0+1)+(2+3))+((4+5)+6))");
  CHECK(joined(8) == "(((0+1)+(2+3))+((4+5)+(6+7)))");
}

TEST_CASE("sum: a tree over aligned parts is the tree over their trees") {
  std::vector<float> leaves(1000);
  std::mt19937 random(1);
  for (float& leaf : leaves) leaf = static_cast<float>(random()) * 0x1p-20f;
  for (size_t part = 1; part <= 256; part *= 2) {
    std::vector<float> parts;
    for (size_t i = 0; i < leaves.size(); i += part) {
      const size_t end = std::min(i + part, leaves.size());
      parts.push_back(tree_join(std::vector<float>(leaves.begin() + i, leaves.begin() + end)));
    }
    CHECK(tree_join(parts) == tree_join(leaves));
  }
}

TEST_CASE("sum: element i goes to lane i mod 64, and lanes join by halves") {
  // One large value in lane 0 absorbs what is added to it before the tree, and nothing that is added
  // elsewhere.
  const auto with_one_at = [](int64_t index) {
    return lane_sum<float>(256, [&](int64_t i) { return i == 0 ? 0x1p24f : i == index ? 1.0f : 0.0f; });
  };
  CHECK(with_one_at(64) == 0x1p24f);
  const float pair = lane_sum<float>(128, [](int64_t i) {
    return i == 0 ? 0x1p24f : i == 1 || i == 65 ? 1.0f : 0.0f;
  });
  CHECK(pair == 0x1p24f + 2);  // 1 + 1 in lane 1 is exact and arrives as 2.
  const float halves = lane_sum<float>(64, [](int64_t i) {
    return i == 0 ? 0x1p24f : i == 1 || i == 33 ? 1.0f : 0.0f;
  });
  CHECK(halves == 0x1p24f + 2);  // Lanes 1 and 33 meet before they meet lane 0.
  const float apart = lane_sum<float>(64, [](int64_t i) {
    return i == 0 ? 0x1p24f : i == 1 || i == 32 ? 1.0f : 0.0f;
  });
  CHECK(apart == 0x1p24f);  // Lane 32 meets lane 0 first, then lane 1 does: both round away.
}

TEST_CASE("sum: an empty sum is +0, and lanes start at +0") {
  CHECK(std::bit_cast<uint32_t>(lane_sum<float>(0, [](int64_t) { return 1.0f; })) == 0);
  CHECK(std::bit_cast<uint32_t>(lane_sum<float>(3, [](int64_t) { return -0.0f; })) == 0);
}

TEST_CASE("sum: small integers add exactly in every order") {
  for (int64_t n : {1, 63, 64, 65, 127, 128, 1000}) {
    const auto element = [](int64_t i) { return static_cast<float>(i % 17 - 8); };
    float plain = 0;
    for (int64_t i = 0; i < n; ++i) plain += element(i);
    CHECK(lane_sum<float>(n, element) == plain);
    CHECK(leaf_sum<float>(n, 1, element) == plain);
    CHECK(lane_sum<double>(n, element) == plain);
  }
}

TEST_CASE("sum: leaves of 8 samples split over micro-batches without changing a bit") {
  std::mt19937 random(2);
  const int64_t samples = 61, per_sample = 37;
  std::vector<float> values(samples * per_sample);
  for (float& value : values) value = static_cast<float>(random()) * 0x1p-32f - 0.5f;
  const auto element = [&](int64_t i) { return values[static_cast<size_t>(i)]; };
  const float whole = leaf_sum<float>(samples, per_sample, element);
  std::vector<float> parts;
  for (int64_t first = 0; first < samples; first += 16) {
    parts.push_back(leaf_sum<float>(std::min<int64_t>(16, samples - first), per_sample,
                                    [&](int64_t i) { return element(first * per_sample + i); }));
  }
  CHECK(tree_join(parts) == whole);
}

}  // namespace
}  // namespace faultline
