#include "engine/numerics/philox.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "engine/base/error.h"

namespace faultline {
namespace {

TEST_CASE("philox: the known answers of Random123") {
  // kat_vectors, philox4x32 10: counter words 0 1 are the stream, 2 3 the block; key words are the seed.
  struct Answer {
    uint64_t stream, block, seed;
    uint32_t words[4];
  };
  const Answer answers[] = {
      {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {0x85a308d3243f6a88,
       0x0370734413198a2e,
       0x299f31d0a4093822,
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Answer& answer : answers) {
    for (uint64_t i = 0; i < 4; ++i) {
      CHECK(Draws::at(answer.seed, answer.stream, 4 * answer.block + i) == answer.words[i]);
    }
  }
}

TEST_CASE("philox: the draws of a named stream never change") {
  CHECK(stream_id("init fc1.weight") == 0x3b14dfd9935c82b6);
  Draws raw(42, "init fc1.weight"), uniform = raw, normal = raw, below = raw;
  for (uint32_t word : {0x0565aae3u, 0xaa6d3d0eu, 0x9129122eu, 0x220e7d09u, 0x7fbdb3aau, 0x2111a642u}) {
    CHECK(raw.u32() == word);
  }
  for (float value : {0x1.596a8p-6f, 0x1.54da7ap-1f, 0x1.225224p-1f}) CHECK(uniform.uniform() == value);
  for (double value : {-0x1.673c6c02b831ep+0, 0x1.6db2e0bca9047p-1, 0x1.9f8b79b89d65cp-1}) {
    CHECK(normal.normal() == value);
  }
  for (uint32_t value : {0u, 6u, 5u, 1u, 4u, 1u, 9u, 5u}) CHECK(below.below(10) == value);
  CHECK(raw.count() == 6);
  CHECK(uniform.count() == 3);
  CHECK(normal.count() == 6);
}

TEST_CASE("philox: shuffle is a fixed permutation of its values") {
  std::vector<int32_t> values(10);
  std::iota(values.begin(), values.end(), 0);
  Draws draws(42, "shuffle epoch 0");
  shuffle(values, draws);
  CHECK(values == std::vector<int32_t>{1, 8, 5, 9, 2, 7, 0, 3, 6, 4});
  CHECK(draws.count() == 9);

  std::vector<int32_t> large(60000);
  std::iota(large.begin(), large.end(), 0);
  shuffle(large, draws);
  std::sort(large.begin(), large.end());
  for (int32_t i = 0; i < 60000; ++i) REQUIRE(large[static_cast<size_t>(i)] == i);
  std::vector<int32_t> none;
  shuffle(none, draws);
  CHECK(none.empty());
}

TEST_CASE("philox: any draw can be had directly, and a stream can go on from a count") {
  Draws draws(7, "dropout 3 step 12");
  for (uint64_t i = 0; i < 100; ++i) {
    Draws later(7, "dropout 3 step 12", i);
    const uint32_t word = draws.u32();
    CHECK(later.u32() == word);
    CHECK(Draws::at(7, stream_id("dropout 3 step 12"), i) == word);
    CHECK(later.count() == draws.count());
  }
}

TEST_CASE("philox: seeds and names give streams of their own") {
  CHECK(Draws(1, "a").u32() != Draws(2, "a").u32());
  CHECK(Draws(1, "a").u32() != Draws(1, "b").u32());
  CHECK(Draws(1, "a").u32() != Draws(1ull << 32 | 1, "a").u32());
}

TEST_CASE("philox: uniform, normal and bounded draws have the moments of their distributions") {
  constexpr int kCount = 400000;
  Draws draws(5, "moments");
  double uniform = 0, normal = 0, square = 0, fourth = 0;
  std::vector<int> seen(7);
  for (int i = 0; i < kCount; ++i) {
    const float u = draws.uniform();
    REQUIRE((u >= 0 && u < 1));
    const double z = draws.normal();
    REQUIRE(std::isfinite(z));
    uniform += u;
    normal += z;
    square += z * z;
    fourth += z * z * z * z;
    ++seen[draws.below(7)];
  }
  // Five standard deviations of each mean.
  const double root = 5 / std::sqrt(kCount);
  CHECK(std::fabs(uniform / kCount - 0.5) < root * std::sqrt(1.0 / 12));
  CHECK(std::fabs(normal / kCount) < root);
  CHECK(std::fabs(square / kCount - 1) < root * std::sqrt(2.0));
  CHECK(std::fabs(fourth / kCount - 3) < root * std::sqrt(96.0));
  for (int count : seen) CHECK(std::fabs(count / double{kCount} - 1.0 / 7) < root * std::sqrt(6.0 / 49));
}

TEST_CASE("philox: the largest and the smallest bound are right, and 0 is refused") {
  Draws draws(5, "bounds");
  CHECK(draws.below(1) == 0);
  CHECK(draws.below(0xffffffffu) < 0xffffffffu);
  CHECK_THROWS_AS(draws.below(0), Error);
}

}  // namespace
}  // namespace faultline
