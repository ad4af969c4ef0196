#include "engine/numerics/ulp.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "engine/base/error.h"

namespace faultline {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST_CASE("ulp: neighbouring patterns of every 16-bit value are one apart") {
  for (Dtype dtype : {Dtype::kF16, Dtype::kBf16}) {
    const uint64_t infinity = bits_of(HUGE_VAL, dtype);
    int wrong = 0;
    for (uint64_t bits = 0; bits < infinity; ++bits) {
      const double a = value_of(bits, dtype), b = value_of(bits + 1, dtype);
      wrong += ulp_distance(a, b, dtype) != 1 || ulp_distance(-b, -a, dtype) != 1;
      wrong += ulp_distance(a, -a, dtype) != static_cast<int64_t>(2 * bits);
      wrong += bits_of(a, dtype) != bits || bits_of(-a, dtype) != (bits | 0x8000);
    }
    CAPTURE(name(dtype));
    CHECK(wrong == 0);
  }
}

TEST_CASE("ulp: distances count the format's own values") {
  CHECK(ulp_distance(1, 1 + 0x1p-23, Dtype::kF32) == 1);
  CHECK(ulp_distance(1, 1 + 0x1p-10, Dtype::kF32) == 1 << 13);
  CHECK(ulp_distance(1, 1 + 0x1p-10, Dtype::kTf32) == 1);
  CHECK(ulp_distance(-0x1p-149, 0x1p-149, Dtype::kF32) == 2);
  CHECK(ulp_distance(1, 1 + 0x1p-52, Dtype::kF64) == 1);
  CHECK(ulp_distance(-7, 5, Dtype::kI32) == 12);
  CHECK(ulp_distance(0.0, -0.0, Dtype::kF16) == 0);
  CHECK(ulp_distance(65504, HUGE_VAL, Dtype::kF16) == 1);
}

TEST_CASE("ulp: a NaN is infinitely far from numbers and equal to a NaN") {
  CHECK(ulp_distance(NAN, 1, Dtype::kF32) == kMax);
  CHECK(ulp_distance(HUGE_VAL, NAN, Dtype::kBf16) == kMax);
  CHECK(ulp_distance(NAN, -NAN, Dtype::kF64) == 0);
  CHECK(ulp_distance(-HUGE_VAL, HUGE_VAL, Dtype::kF64) == kMax);
  CHECK(ulp_distance(-2, 2, Dtype::kF64) == kMax);  // 2^63, one more than fits.
  CHECK(ulp_distance(2, -std::nextafter(2, 0), Dtype::kF64) == kMax);
}

TEST_CASE("ulp: a value that the format lacks is refused by name") {
  CHECK_THROWS_WITH(ulp_distance(1.0001, 1, Dtype::kF16), Catch::Contains("not a value of f16"));
  CHECK_THROWS_AS(bits_of(0.5, Dtype::kI32), Error);
  CHECK_THROWS_AS(bits_of(0x1p31, Dtype::kI32), Error);
  CHECK(bits_of(-0x1p31, Dtype::kI32) == 0x80000000u);
}

TEST_CASE("ulp: one_ulp steps away from zero, and back from the largest value") {
  const float largest = std::numeric_limits<float>::max();
  CHECK(one_ulp(1.0f) == 1 + 0x1p-23f);
  CHECK(one_ulp(-1.0f) == -1 - 0x1p-23f);
  CHECK(one_ulp(largest) == std::nextafter(largest, 0.0f));
  CHECK(one_ulp(-largest) == -std::nextafter(largest, 0.0f));
  CHECK(one_ulp(0.0f) == 0x1p-149f);
  CHECK(one_ulp(-0.0f) == -0x1p-149f);
  CHECK_THROWS_AS(one_ulp(HUGE_VALF), Error);
  CHECK_THROWS_AS(one_ulp(NAN), Error);
}

TEST_CASE("ulp: one_ulp changes every finite value by exactly one") {
  std::mt19937 random(5);
  int wrong = 0;
  for (int i = 0; i < 100000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isfinite(value)) wrong += ulp_distance(value, one_ulp(value), Dtype::kF32) != 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("ulp: patterns print as hex and as fields") {
  CHECK(bits_hex(bits_of(1, Dtype::kBf16), Dtype::kBf16) == "3f80");
  CHECK(bits_hex(bits_of(-2, Dtype::kF64), Dtype::kF64) == "c000000000000000");
  CHECK(bits_hex(bits_of(NAN, Dtype::kF32), Dtype::kF32) == "7fc00000");
  CHECK(bits_binary(bits_of(1, Dtype::kBf16), Dtype::kBf16) == "0 01111111 0000000");
  CHECK(bits_binary(bits_of(-0x1p-24, Dtype::kF16), Dtype::kF16) == "1 00000 0000000001");
  const BitFields fields = bit_fields(0xbfc00001u, Dtype::kF32);
  CHECK(fields.sign == 1);
  CHECK(fields.exponent == 127);
  CHECK(fields.fraction == 0x400001);
}

}  // namespace
}  // namespace faultline
