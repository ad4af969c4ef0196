// fp8 by steps of f16: what the instruction does, and both forms of its model.
#include "engine/mma/fp8_on_f16.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/mma/unit.h"
#include "engine/numerics/ulp.h"

namespace faultline {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

const Unit& hopper() { return Registry<Unit>::instance().find("h100:mma"); }

struct Term {
  int k;
  float a, b;
};

// One instruction, whose other terms are 0.
float instruction(Dtype accumulate, const std::vector<Term>& terms, float c = 0) {
  float a[32] = {}, b[32] = {};
  for (const Term& term : terms) a[term.k] = term.a, b[term.k] = term.b;
  return hopper().dot({Dtype::kE5m2, accumulate}, a, b, 32, c);
}

TEST_CASE("fp8 on f16: k % 4 in {0, 1} are one step, {2, 3} the next") {
  // A step that holds the large pair keeps nothing of the small product; the step after it has all of it.
  const float large = 0x1p14f, small = 0x1p-14f;
  for (int k = 0; k < 32; ++k) {
    if (k < 2) continue;
    INFO(k);
    const float sum = instruction(Dtype::kF32, {{0, large, large}, {1, -large, large}, {k, small, small}});
    CHECK(sum == (k % 4 < 2 ? 0.0f : small * small));
  }
  CHECK(instruction(Dtype::kF32, {{2, large, large}, {3, -large, large}, {4, small, small}}) == 0);
}

TEST_CASE("fp8 on f16: the accumulator is added last, to nearest even") {
  const float half = 0x1p-24f;  // of the last place of 1
  CHECK(instruction(Dtype::kF32, {{0, half, 1}}, 1) == 1);
  CHECK(instruction(Dtype::kF32, {{0, half, 1.5f}}, 1) == 1 + 2 * half);  // the steps alone would cut it
  CHECK(instruction(Dtype::kF32, {{0, -0x1p-14f, 1}}, 0x1p-14f) == 0);
  CHECK(instruction(Dtype::kF16, {{0, 1, 1}, {1, 1, 2}}, 2048) == 2052);  // 2051
  CHECK(instruction(Dtype::kF16, {{0, 0x1p15f, 1}, {2, 0x1p15f, 1}}, -65504) == kInfinity);
  // From 4096 on the second instruction's products would be cut if it began with the accumulator.
  const std::vector<float> a(64, 0x1p-6f), b(64, 0x1p-6f);
  CHECK(hopper().dot({Dtype::kE4m3, Dtype::kF32}, a.data(), b.data(), 64, 0x1p15f) == 0x1p15f + 0x1p-6f);
}

TEST_CASE("fp8 on f16: NaNs are canonical, zeros are +0") {
  const float nan = -std::numeric_limits<float>::quiet_NaN();
  const auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
  CHECK(bits(instruction(Dtype::kF32, {{3, 1, 1}}, nan)) == 0x7fffffff);
  CHECK(bits(instruction(Dtype::kF32, {{3, kInfinity, 1}}, -kInfinity)) == 0x7fffffff);
  CHECK(f16_from_f32(instruction(Dtype::kF16, {{3, nan, 1}})).bits == 0x7fff);
  CHECK(bits(instruction(Dtype::kF32, {}, -0.0f)) == 0);
  CHECK(bits(instruction(Dtype::kF16, {{1, -0x1p-14f, 0x1p-14f}})) == 0);
}

TEST_CASE("fp8 on f16: the product on vectors is the plain model's, under every instruction set") {
  const int64_t M = 5, N = 19;
  std::mt19937 random(3);
  for (const UnitFormat format : hopper().formats) {
    if (step_rule(hopper().rules, format)) continue;
    for (const int64_t K : {1, 31, 32, 75, 128}) {
      const auto draw = [&] {
        const float value = static_cast<float>(value_of(random() % 256, format.input));
        return std::isfinite(value) || random() % 64 == 0 ? value : 1.0f;
      };
      std::vector<float> a(M * K), b(K * N), want(M * N), got(M * N);
      for (float& x : a) x = draw();
      for (float& x : b) x = draw();
      product_of_dots({M, N, K, a.data(), b.data(), want.data(), format.input, format.accumulate},
                      hopper().dot);
      const std::vector<int64_t> step = multiples(K, N), origin = {0};
      const auto differences = [&] {
        int64_t count = 0;
        for (int64_t i = 0; i < M * N; ++i) {
          count += std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(want[i]);
        }
        return count;
      };
      INFO(name(format.input) << " -> " << name(format.accumulate) << ", K " << K);
      for (const std::string& set : instruction_sets()) {
        set_instruction_set(set);
        hopper().product({M, N, K, a.data(), b.data(), got.data(), format.input, format.accumulate});
        CHECK(differences() == 0);
        hopper().windows({M,
                          N,
                          K,
                          a.data(),
                          {b.data(), K * N, step.data(), origin.data(), N},
                          got.data(),
                          format.input,
                          format.accumulate});
        CHECK(differences() == 0);
      }
      set_instruction_set("");
    }
  }
}

}  // namespace
}  // namespace faultline
