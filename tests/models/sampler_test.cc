#include "models/data/sampler.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "engine/numerics/philox.h"

namespace faultline::models {
namespace {

// Examples of one epoch, drawn as numerics.md 2.5 words it.
std::vector<int32_t> shuffled(int64_t examples, uint64_t seed, int64_t epoch) {
  std::vector<int32_t> order(examples);
  std::iota(order.begin(), order.end(), 0);
  const uint64_t stream = stream_id("shuffle/epoch/" + std::to_string(epoch));
  uint64_t next = 0;
  for (uint32_t i = static_cast<uint32_t>(examples) - 1; i > 0; --i) {
    const uint64_t n = i + 1;
    uint64_t product;
    do {
      product = Draws::at(seed, stream, next++) * n;
    } while ((product & 0xffffffff) < (uint64_t{1} << 32) % n);
    std::swap(order[i], order[product >> 32]);
  }
  return order;
}

TEST_CASE("sampler: an epoch is a Fisher-Yates shuffle from the stream of that epoch, cut into batches") {
  Sampler sampler({.examples = 103, .batch = 10, .drop_last = true, .seed = 7});
  CHECK(sampler.batches_per_epoch() == 10);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    const std::vector<int32_t> order = shuffled(103, 7, epoch);
    for (int64_t i = 0; i < 10; ++i) {
      const std::vector<int32_t> expected(order.begin() + 10 * i, order.begin() + 10 * (i + 1));
      CHECK(sampler.batch(10 * epoch + i) == expected);
    }
  }
}

TEST_CASE("sampler: every example comes once an epoch when the short batch is kept") {
  Sampler sampler({.examples = 103, .batch = 10, .drop_last = false, .seed = 7});
  REQUIRE(sampler.batches_per_epoch() == 11);
  std::vector<int32_t> seen;
  for (int64_t step = 11; step < 22; ++step) {
    for (const int32_t index : sampler.batch(step)) seen.push_back(index);
  }
  CHECK(sampler.batch(21).size() == 3);
  std::sort(seen.begin(), seen.end());
  std::vector<int32_t> all(103);
  std::iota(all.begin(), all.end(), 0);
  CHECK(seen == all);
}

TEST_CASE("sampler: a batch depends on seed and step alone") {
  const Sampler::Config config = {.examples = 64, .batch = 16, .seed = 3};
  Sampler straight(config);
  for (int64_t step = 0; step < 12; ++step) {
    Sampler resumed(config);
    CHECK(resumed.batch(step) == straight.batch(step));
  }
  Sampler other({.examples = 64, .batch = 16, .seed = 4});
  CHECK(other.batch(0) != straight.batch(0));
  CHECK(straight.batch(0) != straight.batch(4));
}

TEST_CASE("sampler: counts the numbers that each epoch's stream gave") {
  Sampler sampler({.examples = 1000, .batch = 100});
  sampler.batch(0);
  sampler.batch(9);
  sampler.batch(10);
  REQUIRE(sampler.draws().size() == 2);
  CHECK(sampler.draws().at("shuffle/epoch/0") >= 999);
  CHECK(sampler.draws().at("shuffle/epoch/1") >= 999);
}

TEST_CASE("sampler: an epoch without a batch is refused") {
  CHECK_THROWS_WITH(Sampler({.examples = 5, .batch = 6}),
                    "sampler: no batch of 6 in 5 examples, choose a smaller batch");
  CHECK_THROWS(Sampler({.examples = 0, .batch = 6, .drop_last = false}));
  CHECK_THROWS(Sampler({.examples = 5, .batch = 0}));
  CHECK(Sampler({.examples = 5, .batch = 6, .drop_last = false}).batch(0).size() == 5);
}

}  // namespace
}  // namespace faultline::models
