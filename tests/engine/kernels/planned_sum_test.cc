#include "engine/kernels/planned_sum.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "tests/support/threads.h"

using namespace faultline;

namespace {

// What a range of a tile gives: reals whose sum depends on the order.
float result(int64_t tile, int64_t range, int64_t i) {
  std::minstd_rand random(static_cast<unsigned>(1 + i * 7919 + range * 104729 + tile * 1299709));
  random.discard(2);
  const float magnitude = (1 << random() % 12) / 64.0f;
  return magnitude * (static_cast<float>(random() >> 7) * 0x1p-23f - 0.5f);
}

struct Sums {
  KPlan plan;
  int64_t tiles, n;
  KFormats formats = {};
  bool can_add = true;

  float value(int64_t tile, const KPlan::Range& range, int64_t i) const {
    return result(tile, range.begin, i % 997);
  }

  // By the definition of numerics.md 2.1, an output at a time.
  std::vector<float> expected() const {
    std::vector<float> all;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      for (int64_t i = 0; i < n; ++i) {
        std::vector<float> leaves;
        for (const auto& leaf : plan.leaves) {
          float sum = value(tile, leaf[0], i);
          for (size_t r = 1; r < leaf.size(); ++r) sum += value(tile, leaf[r], i);
          leaves.push_back(sum);
        }
        while (leaves.size() > 1) {
          std::vector<float> above;
          for (size_t j = 0; j + 1 < leaves.size(); j += 2) above.push_back(leaves[j] + leaves[j + 1]);
          if (leaves.size() % 2 == 1) above.push_back(leaves.back());
          leaves = above;
        }
        all.push_back(leaves[0]);
      }
    }
    return all;
  }

  // `failing`: the range that throws.
  std::vector<float> run(int64_t failing = -1) const {
    std::vector<float> all(tiles * n);
    TiledSum sum{"test", &plan, formats};
    sum.tiles = tiles;
    sum.tile_elements = n;
    sum.work = int64_t{1} << 40;
    sum.can_add = can_add;
    sum.chain = [&](int64_t tile, const KPlan::Range& range, bool adds, float* values) {
      if (range.begin == failing) throw std::runtime_error("range " + std::to_string(range.begin));
      for (int64_t i = 0; i < n; ++i) {
        const float v = value(tile, range, i);
        values[i] = adds ? values[i] + v : v;
      }
    };
    sum.finish = [&](int64_t tile, float* values) { std::copy_n(values, n, all.data() + tile * n); };
    run_tiled_sum(sum);
    return all;
  }
};

KPlan plan_of(std::vector<int64_t> leaves) {
  KPlan plan;
  int64_t next = 0;
  for (const int64_t size : leaves) {
    auto& leaf = plan.leaves.emplace_back();
    for (int64_t i = 0; i < size; ++i, ++next) leaf.push_back({next, next + 1});
  }
  return plan;
}

}  // namespace

TEST_CASE(
    "planned sum: a sequence's bits do not depend on threads, tiles, or how many results the caches hold") {
  const int64_t cache = l2_cache_bytes() / static_cast<int64_t>(sizeof(float));
  for (const int64_t ranges : {1, 2, 3, 9, 17, 40}) {
    for (const int64_t tiles : {1, 2, 3}) {
      // Few outputs; an odd number of lines; so many that the caches hold 5 results of a thread; that they hold none.
      for (const int64_t n : {int64_t{1}, int64_t{33 * 16 + 5}, cache / 5 / tiles, cache + 3}) {
        if (n > 1000 && ranges != 17) continue;
        const Sums sums{plan_of({ranges}), tiles, n};
        const std::vector<float> want = sums.expected();
        for (const int count : {1, 2, 3, 8}) {
          const Threads threads(count);
          INFO(ranges << " ranges, " << tiles << " tiles of " << n << ", " << count << " threads");
          CHECK(sums.run() == want);
        }
      }
    }
  }
}

TEST_CASE("planned sum: nor do those of leaves, and of ranges of tiles that cannot add") {
  for (const bool can_add : {false, true}) {
    for (const std::vector<int64_t>& leaves :
         {std::vector<int64_t>{1, 1, 1, 1, 1}, {3, 1, 2}, {12}, {2, 2, 2, 2, 2, 2, 2}}) {
      for (const int64_t tiles : {1, 3}) {
        const Sums sums{plan_of(leaves), tiles, 700, {}, can_add};
        const std::vector<float> want = sums.expected();
        for (const int count : {1, 2, 3, 8}) {
          const Threads threads(count);
          CHECK(sums.run() == want);
        }
      }
    }
  }
}

TEST_CASE("planned sum: a range that fails is thrown, and the next sum is right") {
  const Sums sums{plan_of({40}), 1, 500};
  const Threads threads(3);
  CHECK_THROWS_WITH(sums.run(25), "range 25");
  CHECK(sums.run() == sums.expected());
}
