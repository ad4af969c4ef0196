#include "engine/numerics/exact_sum.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "tests/engine/numerics/real.h"

namespace faultline {
namespace {

using Pairs = std::vector<std::pair<double, double>>;

constexpr mpfr_prec_t kExactBits = 5000;  // Every sum of products below fits without rounding.

ExactSum sum_of(const Pairs& pairs) {
  ExactSum sum;
  for (const auto& [a, b] : pairs) sum.add_product(a, b);
  return sum;
}

// The exact sum in MPFR, rounded once into the format.
double reference(const Pairs& pairs, Dtype dtype) {
  Real sum(0, kExactBits), product(0, 106);
  for (const auto& [a, b] : pairs) {
    mpfr_set_d(product.get(), a, MPFR_RNDN);
    REQUIRE(mpfr_mul_d(product.get(), product.get(), b, MPFR_RNDN) == 0);
    REQUIRE(mpfr_add(sum.get(), sum.get(), product.get(), MPFR_RNDN) == 0);
  }
  if (mpfr_zero_p(sum.get())) return 0;
  const int bias = (1 << (info(dtype).exponent_bits - 1)) - 1;
  const long exponent = std::max<long>(mpfr_get_exp(sum.get()) - 1, 1 - bias);
  const long last_place = exponent - info(dtype).fraction_bits;
  mpfr_mul_2si(sum.get(), sum.get(), -last_place, MPFR_RNDN);
  mpfr_rint(sum.get(), sum.get(), MPFR_RNDN);  // To an integer, ties to even.
  mpfr_mul_2si(sum.get(), sum.get(), last_place, MPFR_RNDN);
  const bool overflow = !mpfr_zero_p(sum.get()) && mpfr_get_exp(sum.get()) > bias + 1;
  return overflow ? std::copysign(HUGE_VAL, sum.nearest()) : sum.nearest();
}

// Random values with exponents from `low` to `high`.
double random_value(std::mt19937_64& random, int low, int high) {
  const double fraction = 1 + static_cast<double>(random() >> 12) * 0x1p-52;
  const int exponent = low + static_cast<int>(random() % static_cast<uint64_t>(high - low + 1));
  return std::ldexp(random() % 2 ? fraction : -fraction, exponent);
}

void check_all_formats(const Pairs& pairs) {
  const ExactSum sum = sum_of(pairs);
  for (Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kTf32, Dtype::kF32, Dtype::kF64}) {
    const double got = sum.round(dtype), expected = reference(pairs, dtype);
    if (std::bit_cast<uint64_t>(got) == std::bit_cast<uint64_t>(expected)) continue;
    CAPTURE(name(dtype), got, expected);
    FAIL("not the correctly rounded sum");
  }
}

TEST_CASE("exact sum: products over narrow, wide and whole exponent ranges round as MPFR does") {
  std::mt19937_64 random(11);
  const std::pair<int, int> ranges[] = {{-2, 2},   {-12, -5},   {-70, -60},
                                        {-40, 40}, {-300, 300}, {-1074, 1000}};
  for (const auto& [low, high] : ranges) {
    for (int trial = 0; trial < 60; ++trial) {
      Pairs pairs(1 + random() % 50);
      for (auto& [a, b] : pairs) {
        a = random_value(random, low, high);
        b = random_value(random, std::max(low, -1000 + high), high);
      }
      check_all_formats(pairs);
    }
  }
}

TEST_CASE("exact sum: cancellation leaves exactly what is left") {
  std::mt19937_64 random(12);
  for (int trial = 0; trial < 60; ++trial) {
    Pairs pairs;
    for (int i = 0; i < 40; ++i) {
      const double a = random_value(random, -400, 400), b = random_value(random, -400, 400);
      pairs.insert(pairs.end(), {{a, b}, {-a, b}});
    }
    const double rest = random_value(random, -1074, -1000);
    pairs.emplace_back(rest, 1);
    std::shuffle(pairs.begin(), pairs.end(), random);
    CHECK(sum_of(pairs).round_f64() == rest);
    check_all_formats(pairs);
  }
}

TEST_CASE("exact sum: ties go to even, and the least bit below breaks them") {
  for (Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kTf32, Dtype::kF32, Dtype::kF64}) {
    const double ulp = std::ldexp(1.0, -info(dtype).fraction_bits), tiny = 0x1p-1074;
    ExactSum tie;
    tie.add(1);
    tie.add(ulp / 2);
    CHECK(tie.round(dtype) == 1);
    ExactSum above = tie, odd = tie;
    above.add_product(tiny, tiny);
    CHECK(above.round(dtype) == 1 + ulp);
    odd.add(ulp);
    CHECK(odd.round(dtype) == 1 + 2 * ulp);
    odd.add_product(-tiny, tiny);
    CHECK(odd.round(dtype) == 1 + ulp);
  }
}

TEST_CASE("exact sum: underflow and overflow follow the format") {
  ExactSum tiny;
  tiny.add_product(0x1p-1074, 0x1p-1074);
  CHECK(tiny.round_f64() == 0);
  tiny.add(0x1p-1074);
  CHECK(tiny.round_f64() == 0x1p-1074);
  ExactSum half;  // Half of f16's smallest subnormal is a tie with 0; a bit more is not.
  half.add(0x1p-25);
  CHECK(half.round(Dtype::kF16) == 0);
  half.add(0x1p-90);
  CHECK(half.round(Dtype::kF16) == 0x1p-24);
  ExactSum large;
  large.add(65504);
  large.add(15.999);
  CHECK(large.round(Dtype::kF16) == 65504);
  large.add(0.001);
  CHECK(large.round(Dtype::kF16) == HUGE_VAL);
  ExactSum huge;
  for (int i = 0; i < 1000; ++i) huge.add_product(0x1.fffffffffffffp1023, 0x1.fffffffffffffp1023);
  CHECK(huge.round_f64() == HUGE_VAL);
  CHECK_FALSE(huge.is_special());
  for (int i = 0; i < 1000; ++i) huge.add_product(0x1.fffffffffffffp1023, -0x1.fffffffffffffp1023);
  huge.add(-3);
  CHECK(huge.round_f64() == -3);
}

TEST_CASE("exact sum: infinities and NaNs follow IEEE 754") {
  ExactSum sum;
  sum.add(-HUGE_VAL);
  sum.add(1e308);
  CHECK(sum.is_special());
  CHECK(sum.round(Dtype::kF32) == -HUGE_VAL);
  ExactSum product = sum;
  sum.add(HUGE_VAL);
  CHECK(std::isnan(sum.round_f64()));
  product.add_product(HUGE_VAL, 0.0);
  CHECK(std::isnan(product.round_f64()));
}

TEST_CASE("exact sum: zeros of either sign, and nothing, give +0") {
  ExactSum sum;
  CHECK(std::bit_cast<uint64_t>(sum.round_f64()) == 0);
  sum.add(-0.0);
  CHECK(std::bit_cast<uint64_t>(sum.round_f64()) == 0);
  sum.add(1.5);
  sum.add(-1.5);
  CHECK(std::bit_cast<uint64_t>(sum.round(Dtype::kF16)) == 0);
  CHECK_THROWS_AS(sum.round(Dtype::kI32), Error);
}

TEST_CASE("exact sum: the order of the terms does not matter") {
  std::mt19937_64 random(13);
  std::vector<double> values(5000);
  for (double& value : values) value = random_value(random, -200, 200);
  const auto sum = [&] {
    ExactSum sum;
    for (double value : values) sum.add(value);
    return sum.round_f64();
  };
  const double first = sum();
  for (int i = 0; i < 5; ++i) {
    std::shuffle(values.begin(), values.end(), random);
    CHECK(sum() == first);
  }
}

}  // namespace
}  // namespace faultline
