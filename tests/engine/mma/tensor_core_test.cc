// The golden one-liners, FLOOR and the special values of tensor_core_numerics.md 2, 3 and 4, on the plain
// models.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/mma/unit.h"
#include "engine/numerics/ulp.h"

namespace faultline {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr UnitFormat kHalf{Dtype::kF16, Dtype::kF32}, kHalfOnly{Dtype::kF16, Dtype::kF16};
constexpr UnitFormat kBrain{Dtype::kBf16, Dtype::kF32}, kTf32{Dtype::kTf32, Dtype::kF32};

struct Pair {
  float a, b;
};
using Pairs = std::vector<Pair>;
using Names = std::vector<std::string>;

float power(int exponent) { return std::ldexp(1.0f, exponent); }

// The result's bits in the accumulator's format.
std::string hex(const std::string& unit, UnitFormat format, float c, const Pairs& pairs) {
  std::vector<float> a, b;
  for (const Pair& pair : pairs) {
    a.push_back(pair.a);
    b.push_back(pair.b);
  }
  const Unit& row = Registry<Unit>::instance().find(unit);
  const float result = row.dot(format, a.data(), b.data(), static_cast<int64_t>(a.size()), c);
  if (format.accumulate == Dtype::kF32) return bits_hex(std::bit_cast<uint32_t>(result), Dtype::kF32);
  return bits_hex(f16_from_f32(result).bits, Dtype::kF16);
}

void check(const Names& units, UnitFormat format, float c, const Pairs& pairs, const std::string& expected) {
  for (const std::string& unit : units) {
    INFO(unit);
    CHECK(hex(unit, format, c, pairs) == expected);
  }
}

Pairs repeated(Pairs pairs, int count, Pair pair) {
  pairs.insert(pairs.end(), count, pair);
  return pairs;
}

const Names kVolta = {"v100"}, kMiddle = {"t4", "a100", "a2", "l40s", "ada"};
const Names kNewest = {"h100", "h200", "h100:mma", "b200", "b200:mma"};
const Names kAllBrain = {"a100", "l40s", "h100", "h100:mma", "b200", "b200:mma"};

// Every chip with every format that it has.
template <class Body>
void for_each_rule(Body body) {
  for (const auto& [name, unit] : Registry<Unit>::instance().entries()) {
    for (const StepRule& rule : unit.rules) {
      const UnitFormat format{rule.input, rule.accumulate};
      INFO(name << " " << faultline::name(rule.input) << " -> " << faultline::name(rule.accumulate));
      body(name, format, rule);
    }
  }
}

TEST_CASE("tensor cores: bits below the last place are cut, one more kept on each newer chip") {
  const Pairs pairs = {{-power(13), power(10)}, {-0.5f, 1}, {-0.25f, 1}, {-0.125f, 1}};  // exactly -0.875
  check(kVolta, kHalf, power(23), pairs, "00000000");
  check(kMiddle, kHalf, power(23), pairs, "bf000000");
  check(kNewest, kHalf, power(23), pairs, "bf400000");
}

TEST_CASE("tensor cores: small terms add up where the chip keeps them, of both signs") {
  const Pair tiny{power(-12), power(-12)}, minus{-power(-12), power(-12)};
  check(kVolta, kHalf, 0, repeated({{1, 1}}, 3, tiny), "3f800000");
  check(kMiddle, kHalf, 0, repeated({{1, 1}}, 3, tiny), "3f800001");
  check(kNewest, kHalf, 0, repeated({{1, 1}}, 3, tiny), "3f800001");
  check(kVolta, kHalf, 0, repeated({{-1, 1}}, 3, minus), "bf800000");
  check(kMiddle, kHalf, 0, repeated({{-1, 1}}, 3, minus), "bf800001");
  check(kNewest, kHalf, 0, repeated({{-1, 1}}, 3, minus), "bf800001");
}

TEST_CASE("tensor cores: a product's exponent is the sum of the fields, so 12 * 24 is not 18 * 16") {
  const Pair tiny{power(-9), power(-9)};
  check(kNewest, kHalf, 0, repeated({{12, 24}}, 15, tiny), "43900001");
  check(kNewest, kHalf, 0, repeated({{18, 16}}, 15, tiny), "43900000");
}

TEST_CASE("tensor cores: a large pair that cancels hides a small product of its own step only") {
  Pairs pairs(16, Pair{0, 0});
  pairs[0] = {power(12), power(12)};
  pairs[1] = {-power(12), power(12)};
  pairs[8] = {0.5f, 0.5f};
  check(kMiddle, kHalf, 0, pairs, "3e800000");
  check(kNewest, kHalf, 0, pairs, "00000000");
}

TEST_CASE("tensor cores: with an f16 accumulator FLOOR decides ties of very small sums") {
  // The notes expect 0001 by wgmma here; an H200 gives 0000 (captures/h200, ties).
  const Pairs pairs = {{power(-14), power(-11)}, {power(-24), power(-24)}};
  for (const Names& names : {kVolta, kMiddle, kNewest}) check(names, kHalfOnly, 0, pairs, "0000");
  // Half of the smallest f16, and the largest power of two below it that is cut, then the one above that.
  const auto tie = [](int e) { return Pairs{{power(-14), power(-11)}, {power(-24), power(e + 24)}}; };
  check({"v100"}, kHalfOnly, 0, tie(-19 - 23 - 1), "0000");
  check({"v100"}, kHalfOnly, 0, tie(-19 - 23), "0001");
  check({"t4", "a100", "l40s"}, kHalfOnly, 0, tie(-20 - 24 - 1), "0000");
  check({"t4", "a100", "l40s"}, kHalfOnly, 0, tie(-20 - 24), "0001");
  check(kNewest, kHalfOnly, 0, tie(-21 - 25 - 1), "0000");
  check(kNewest, kHalfOnly, 0, tie(-21 - 25), "0001");
}

TEST_CASE("tensor cores: FLOOR of the f32 accumulator, seen beside the smallest f32") {
  const auto less = [](int e) { return Pairs{{power(-74), power(-75)}, {-power(-90), power(e + 90)}}; };
  for (const UnitFormat format : {kBrain, kTf32}) {
    check({"a100", "l40s"}, format, 0, less(-132 - 24 - 1), "00000001");
    check({"a100", "l40s"}, format, 0, less(-132 - 24), "00000000");
    check(kNewest, format, 0, less(-133 - 25 - 1), "00000001");
    check(kNewest, format, 0, less(-133 - 25), "00000000");
  }
}

TEST_CASE("tensor cores: any NaN, 0 * infinity and opposite infinities give the canonical NaN") {
  for_each_rule([](const std::string& unit, UnitFormat format, const StepRule& rule) {
    const std::string nan = format.accumulate == Dtype::kF32 ? "7fffffff" : "7fff";
    for (int lane = 0; lane < rule.terms; ++lane) {
      const auto with = [&](Pair pair) {
        Pairs pairs(rule.terms, Pair{1, -1});
        pairs[lane] = pair;
        return pairs;
      };
      CHECK(hex(unit, format, 1, with({kNan, 1})) == nan);
      CHECK(hex(unit, format, 1, with({1, -kNan})) == nan);
      CHECK(hex(unit, format, 1, with({0, kNan})) == nan);
      if (format.input == Dtype::kE4m3) continue;  // has no infinity
      CHECK(hex(unit, format, 1, with({kInfinity, -0.0f})) == nan);
      CHECK(hex(unit, format, 1, with({0, kInfinity})) == nan);
      CHECK(hex(unit, format, -kInfinity, with({kInfinity, 1})) == nan);
      Pairs both = with({kInfinity, 2});
      both[(lane + 1) % rule.terms] = {kInfinity, -2};
      CHECK(hex(unit, format, 1, both) == nan);
    }
    CHECK(hex(unit, format, kNan, {{1, 1}}) == nan);
  });
}

TEST_CASE("tensor cores: infinities of one sign give that infinity") {
  for_each_rule([](const std::string& unit, UnitFormat format, const StepRule& rule) {
    const bool f32 = format.accumulate == Dtype::kF32;
    const std::string plus = f32 ? "7f800000" : "7c00", minus = f32 ? "ff800000" : "fc00";
    CHECK(hex(unit, format, kInfinity, {{1, 1}}) == plus);
    CHECK(hex(unit, format, -kInfinity, {{1, 1}}) == minus);
    if (format.input == Dtype::kE4m3) return;
    for (int lane = 0; lane < rule.terms; ++lane) {
      Pairs pairs(rule.terms, Pair{1, 1});
      pairs[lane] = {-2, kInfinity};
      CHECK(hex(unit, format, 1, pairs) == minus);
      pairs[lane] = {-kInfinity, -kInfinity};
      CHECK(hex(unit, format, kInfinity, pairs) == plus);
    }
  });
}

TEST_CASE("tensor cores: products beyond the range of f32 are kept and can cancel") {
  for (const UnitFormat format : {kBrain, kTf32}) {
    const Pair large{power(100), power(30)}, minus{power(100), -power(30)};
    check(kAllBrain, format, power(110), {large, minus}, "76800000");
    check(kAllBrain, format, 0, {{power(127), power(127)}, {-power(127), power(127)}}, "00000000");
    check(kAllBrain, format, 0, {large}, "7f800000");
    check(kAllBrain, format, 0, {minus}, "ff800000");
    // The last multiple of 2^104 below 2^128 is the largest finite value.
    check(kAllBrain, format, 0, {{power(64), power(64)}, {-power(52), power(52)}}, "7f7fffff");
    check(kAllBrain, format, 0, {{power(64), power(64)}, {-power(52), power(50)}}, "7f800000");
  }
}

TEST_CASE("tensor cores: f16 sums overflow from 65520 on") {
  for (const Names& units : {kVolta, kMiddle, kNewest}) {
    check(units, kHalfOnly, 65504, {{4, 4}}, "7c00");
    check(units, kHalfOnly, -65504, {{-4, 4}}, "fc00");
    check(units, kHalfOnly, 65504, {{3, 5}}, "7bff");
    check(units, kHalf, 0, {{65504, 65504}}, "4f7fc004");
  }
}

TEST_CASE("tensor cores: specials are judged step by step") {
  for_each_rule([](const std::string& unit, UnitFormat format, const StepRule& rule) {
    if (format.input != Dtype::kF16 && format.input != Dtype::kBf16) return;
    const float large = format.accumulate == Dtype::kF16 ? 0x1p15f : 0x1p127f;
    if (format.input == Dtype::kF16 && format.accumulate == Dtype::kF32) return;  // cannot overflow from 0
    const std::string nan = format.accumulate == Dtype::kF32 ? "7fffffff" : "7fff";
    Pairs pairs(2 * rule.terms, Pair{0, 0});
    pairs[0] = {large, 2};
    pairs[rule.terms] = {-large, 2};  // cancels within one step only
    CHECK(hex(unit, format, 0, pairs) == (format.accumulate == Dtype::kF32 ? "7f800000" : "7c00"));
    pairs[rule.terms] = {-kInfinity, 2};
    CHECK(hex(unit, format, 0, pairs) == nan);
  });
}

TEST_CASE("tensor cores: subnormals are read and produced in every format") {
  for (const Names& units : {kVolta, kMiddle, kNewest}) {
    check(units, kHalf, 0, {{power(-24), 1}}, "33800000");
    check(units, kHalf, 0, {{power(-24), power(-24)}}, "27800000");
    check(units, kHalf, power(-149), {{0, 1}}, "00000001");
    check(units, kHalfOnly, 0, {{power(-24), 3}}, "0003");
    check(units, kHalfOnly, power(-24), {{power(-24), 1}}, "0002");
  }
  check(kAllBrain, kBrain, 0, {{power(-133), 1}}, "00010000");
  check(kAllBrain, kTf32, 0, {{power(-136), 1}}, "00002000");
  check(kAllBrain, kBrain, 0, {{power(-100), power(-49)}}, "00000001");
  check(kAllBrain, kBrain, 0, {{power(-100), 1.5f * power(-49)}}, "00000001");
  check({"l40s", "h100", "b200"}, {Dtype::kE4m3, Dtype::kF32}, 0, {{power(-9), power(-9)}}, "36800000");
  check({"l40s", "h100", "b200"}, {Dtype::kE5m2, Dtype::kF32}, 0, {{power(-16), 3}}, "38400000");
}

TEST_CASE("tensor cores: an exact zero sum is +0, even of negative zeros") {
  for_each_rule([](const std::string& unit, UnitFormat format, const StepRule& rule) {
    const std::string zero = format.accumulate == Dtype::kF32 ? "00000000" : "0000";
    CHECK(hex(unit, format, -0.0f, Pairs(rule.terms, Pair{-0.0f, 1})) == zero);
    CHECK(hex(unit, format, 0, {{1, -1}, {1, 1}}) == zero);
    CHECK(hex(unit, format, 1, {{1, -1}}) == zero);
  });
}

TEST_CASE("tensor cores: a negative sum that vanishes in the conversion is +0") {
  for (const Names& units : {kAllBrain, Names{"h100:wmma", "b200:wmma"}}) {
    check(units, kBrain, 0, {{-power(-100), power(-52)}}, "00000000");
    check(units, kTf32, 0, {{-power(-100), power(-52)}}, "00000000");
    check(units, kBrain, 0, {{-power(-100), power(-49)}}, "80000001");  // which does not vanish
  }
  for (const Names& units : {kVolta, kMiddle, kNewest}) {
    check(units, kHalfOnly, 0, {{-power(-14), power(-12)}}, "0000");
    check(units, kHalfOnly, 0, {{-power(-14), power(-11)}}, "0000");  // the tie
    check(units, kHalfOnly, 0, {{-power(-14), 1.5f * power(-11)}}, "8001");
  }
}

TEST_CASE("tensor cores: tf32 reads the top 19 bits of a word") {
  check(kAllBrain, kTf32, 0, {{std::bit_cast<float>(0x3f801fffu), 1}}, "3f800000");
  check(kAllBrain, kTf32, 0, {{1, std::bit_cast<float>(0xbf803fffu)}}, "bf802000");
}

TEST_CASE("tensor cores: fp8 sums keep 13 bits below the largest exponent on Ada and Hopper") {
  const UnitFormat e4m3{Dtype::kE4m3, Dtype::kF32};
  const Pair small{power(-7), power(-6)}, cut{power(-7), power(-7)};
  for (const char* unit : {"l40s", "h100"}) {
    CHECK(hex(unit, e4m3, 1 + power(-23), {{0, 0}}) == "3f800000");
    CHECK(hex(unit, e4m3, 0, {{1, 1}, small}) == "3f800400");
    CHECK(hex(unit, e4m3, 0, {{1, 1}, cut, cut}) == "3f800000");
    CHECK(hex(unit, e4m3, 1, {{1, 1}, small}) == "40000000");  // the conversion cuts it
  }
  CHECK(hex("b200", e4m3, 0, {{1, 1}, cut, cut}) == "3f800400");
  CHECK(hex("l40s", {Dtype::kE5m2, Dtype::kF16}, 2048, {{1, 1}, {1, 2}}) == "6802");  // 2051 to even
}

TEST_CASE("tensor cores: adding zero terms changes nothing, whatever c is") {
  for_each_rule([](const std::string& unit, UnitFormat format, const StepRule& rule) {
    for (float c : {0.0f, 1.5f, -0.125f, 100.0f}) {
      CHECK(hex(unit, format, c, Pairs(rule.terms, Pair{0, -4})) == hex(unit, format, c, {}));
      CHECK(hex(unit, format, c, {{1, 0.25f}}) == hex(unit, format, c, {{0, 4}, {1, 0.25f}}));
    }
  });
}

TEST_CASE("tensor cores: a trace shows what is kept of each term, and ends in the result") {
  const Unit& h100 = Registry<Unit>::instance().find("h100");
  const StepRule& rule = *step_rule(h100.rules, kHalf);
  std::vector<float> a(20, 0.0f), b(20, 1.0f);
  a[0] = 3;
  a[1] = -power(-24);
  b[1] = 1.5f;
  a[2] = power(-24);
  b[2] = power(-3);
  a[16] = 0.25f;
  const std::vector<StepTrace> steps = trace_fused_dot(rule, a.data(), b.data(), 20, 0.5f);
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].exponent == 1);
  CHECK(steps[0].quantum == -24);
  CHECK(steps[0].accumulator.exact == 0.5);
  CHECK(steps[0].accumulator.kept == 0.5);
  REQUIRE(steps[0].products.size() == 16);
  CHECK(steps[0].products[0].kept == 3);
  CHECK(steps[0].products[1].exact == -1.5 * power(-24));
  CHECK(steps[0].products[1].kept == -power(-24));
  CHECK(steps[0].products[2].exact == power(-27));
  CHECK(steps[0].products[2].kept == 0);
  CHECK(steps[0].sum == 3.5 - power(-24));
  CHECK(steps[0].result == std::nextafterf(3.5f, 0.0f));
  REQUIRE(steps[1].products.size() == 4);
  CHECK(steps[1].accumulator.exact == steps[0].result);
  CHECK(steps[1].result == fused_dot(rule, a.data(), b.data(), 20, 0.5f));
  a[5] = kInfinity;
  CHECK(trace_fused_dot(rule, a.data(), b.data(), 20, 0)[0].special);
}

}  // namespace
}  // namespace faultline
