#include "engine/numerics/dtype.h"

#include <catch2/catch.hpp>
#include <random>

#include "engine/base/error.h"

namespace faultline {
namespace {

// A 16-bit format by its definition alone: values by ldexp, rounding by comparison with midpoints.
struct Format {
  Dtype dtype;
  int exponent_bits, fraction_bits;
  uint16_t (*from_f32)(float);
  uint16_t (*from_f64)(double);
  float (*to_f32)(uint16_t);

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  uint16_t infinity() const { return static_cast<uint16_t>(((1 << exponent_bits) - 1) << fraction_bits); }

  // The value of a positive finite pattern; of infinity's pattern, the power of two that would follow.
  double value(int pattern) const {
    const int exponent = pattern >> fraction_bits, fraction = pattern & ((1 << fraction_bits) - 1);
    if (exponent == 0) return std::ldexp(fraction, 1 - bias() - fraction_bits);
    return std::ldexp((1 << fraction_bits) + fraction, exponent - bias() - fraction_bits);
  }

  // The pattern nearest to x >= 0, between neighbouring patterns `below` and below + 1; ties to even.
  int nearest(double x, int below) const {
    const double middle = (value(below) + value(below + 1)) / 2;
    return x < middle || (x == middle && below % 2 == 0) ? below : below + 1;
  }
};

const Format kFormats[] = {
    {Dtype::kF16, 5, 10, [](float v) { return f16_from_f32(v).bits; },
     [](double v) { return f16_from_f64(v).bits; }, [](uint16_t bits) { return to_f32(F16{bits}); }},
    {Dtype::kBf16, 8, 7, [](float v) { return bf16_from_f32(v).bits; },
     [](double v) { return bf16_from_f64(v).bits; }, [](uint16_t bits) { return to_f32(Bf16{bits}); }},
};

TEST_CASE("dtype: all 65,536 patterns of f16 and bf16 widen to their value and come back") {
  for (const Format& format : kFormats) {
    int wrong = 0;
    for (int pattern = 0; pattern < 65536; ++pattern) {
      const uint16_t bits = static_cast<uint16_t>(pattern);
      const int magnitude = pattern & 0x7fff;
      const float wide = format.to_f32(bits);
      wrong += std::signbit(wide) != (pattern >> 15 != 0);
      if (magnitude > format.infinity()) {
        const uint16_t quiet = static_cast<uint16_t>(bits | 1 << (format.fraction_bits - 1));
        wrong += !std::isnan(wide) || format.from_f32(wide) != quiet || format.from_f64(wide) != quiet;
        continue;
      }
      wrong +=
          magnitude == format.infinity() ? !std::isinf(wide) : std::fabs(wide) != format.value(magnitude);
      wrong += format.from_f32(wide) != bits || format.from_f64(wide) != bits;
      wrong += round_to(wide, format.dtype) != wide;
    }
    CAPTURE(name(format.dtype));
    CHECK(wrong == 0);
  }
}

TEST_CASE("dtype: f32 and f64 round to f16 and bf16 correctly at and beside every value and midpoint") {
  for (const Format& format : kFormats) {
    int wrong = 0;
    for (int below = 0; below < format.infinity(); ++below) {
      const double low = format.value(below), high = format.value(below + 1), middle = (low + high) / 2;
      const auto check = [&](double x) {
        if (x < low || x > high) return;
        const uint16_t expected = static_cast<uint16_t>(format.nearest(x, below));
        const uint16_t negative = expected | 0x8000;
        if (static_cast<float>(x) == x) {
          wrong += format.from_f32(static_cast<float>(x)) != expected;
          wrong += format.from_f32(static_cast<float>(-x)) != negative;
        }
        wrong += format.from_f64(x) != expected || format.from_f64(-x) != negative;
        const double rounded = expected == format.infinity() ? HUGE_VAL : format.value(expected);
        wrong += round_to(x, format.dtype) != rounded || round_to(-x, format.dtype) != -rounded;
      };
      for (double x : {low, middle, high}) {
        check(x);
        check(std::nextafter(x, 0.0));
        check(std::nextafter(x, HUGE_VAL));
        check(std::nextafterf(static_cast<float>(x), 0.0f));
        check(std::nextafterf(static_cast<float>(x), HUGE_VALF));
      }
    }
    CAPTURE(name(format.dtype));
    CHECK(wrong == 0);
  }
}

// The value of a positive fp8 pattern by its fields alone.
double fp8_value(int pattern, int fraction_bits) {
  const int bias = (1 << (6 - fraction_bits)) - 1;
  const int exponent = pattern >> fraction_bits, fraction = pattern & ((1 << fraction_bits) - 1);
  if (exponent == 0) return std::ldexp(fraction, 1 - bias - fraction_bits);
  return std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

TEST_CASE("dtype: all 256 patterns of e4m3 and e5m2 widen to their value and come back") {
  for (int pattern = 0; pattern < 256; ++pattern) {
    const uint8_t bits = static_cast<uint8_t>(pattern);
    const int magnitude = pattern & 0x7f;
    CAPTURE(pattern);
    const float e4m3 = to_f32(E4m3{bits}), e5m2 = to_f32(E5m2{bits});
    CHECK(std::signbit(e4m3) == (pattern >= 128));
    CHECK(std::signbit(e5m2) == (pattern >= 128));
    CHECK(std::isnan(e4m3) == (magnitude == 0x7f));
    CHECK(std::isinf(e5m2) == (magnitude == 0x7c));
    CHECK(std::isnan(e5m2) == (magnitude > 0x7c));
    if (magnitude < 0x7f) CHECK(std::fabs(e4m3) == fp8_value(magnitude, 3));
    if (magnitude < 0x7c) CHECK(std::fabs(e5m2) == fp8_value(magnitude, 2));
    CHECK(e4m3_from_f64(e4m3).bits == bits);
    CHECK(e5m2_from_f64(e5m2).bits == (magnitude > 0x7c ? bits | 2 : bits));
  }
}

TEST_CASE("dtype: f64 rounds to e4m3 and e5m2 correctly at and beside every value and midpoint") {
  const auto check = [](int fraction_bits, int last, auto encode) {
    for (int below = 0; below < last; ++below) {
      const double low = fp8_value(below, fraction_bits), high = fp8_value(below + 1, fraction_bits);
      const double middle = (low + high) / 2;
      const int even = below % 2 == 0 ? below : below + 1;
      CAPTURE(fraction_bits, below);
      CHECK(encode(low).bits == below);
      CHECK(encode(std::nextafter(low, high)).bits == below);
      CHECK(encode(std::nextafter(middle, low)).bits == below);
      CHECK(encode(middle).bits == even);
      CHECK(encode(std::nextafter(middle, high)).bits == below + 1);
      CHECK(encode(-std::nextafter(high, low)).bits == (below + 1 | 0x80));
    }
  };
  // The pattern after the largest value is e4m3's NaN and e5m2's infinity.
  check(3, 0x7f, [](double x) { return e4m3_from_f64(x); });
  check(2, 0x7c, [](double x) { return e5m2_from_f64(x); });
  CHECK(largest_finite(Dtype::kE4m3) == 448);
  CHECK(largest_finite(Dtype::kE5m2) == 57344);
  CHECK(largest_finite(Dtype::kF16) == 65504);
  CHECK(e4m3_from_f64(-HUGE_VAL).bits == 0xff);
  CHECK(e4m3_from_f64(1e300).bits == 0x7f);
}

TEST_CASE("dtype: values beyond the largest become infinity, of both signs") {
  CHECK(f16_from_f32(65519.996f).bits == 0x7bff);
  CHECK(f16_from_f32(65520.0f).bits == 0x7c00);
  CHECK(f16_from_f32(-3.4e38f).bits == 0xfc00);
  CHECK(f16_from_f64(-1e300).bits == 0xfc00);
  CHECK(bf16_from_f64(1e300).bits == 0x7f80);
  CHECK(bf16_from_f32(std::bit_cast<float>(0x7f7f8000u)).bits == 0x7f80);
  CHECK(std::isinf(round_to(3.5e38, Dtype::kTf32)));
  CHECK(f16_from_f64(5e-324).bits == 0);
  CHECK(bf16_from_f64(-5e-324).bits == 0x8000);
}

TEST_CASE("dtype: f64 rounds once, not through f32") {
  const double above = 1 + 0x1p-11 + 0x1p-40;  // f32 would drop the last bit and leave a tie.
  CHECK(f16_from_f64(above).bits == 0x3c01);
  CHECK(round_to(above, Dtype::kTf32) == 1 + 0x1p-10);
  CHECK(bf16_from_f64(1 + 0x1p-8 + 0x1p-40).bits == 0x3f81);
}

TEST_CASE("dtype: round_to agrees with the processor's own f64 to f32 conversion on random patterns") {
  std::mt19937_64 random(1);
  int wrong = 0;
  for (int i = 0; i < 2000000; ++i) {
    uint64_t bits = random();
    if (i % 2) bits = (bits & ~(0x7ffull << 52)) | (1023 - 160 + (bits >> 52 & 0x7ff) % 300) << 52;
    const double value = std::bit_cast<double>(bits);
    if (!std::isnan(value))
      wrong += round_to(value, Dtype::kF32) != static_cast<double>(static_cast<float>(value));
  }
  CHECK(wrong == 0);
}

TEST_CASE("dtype: tf32 rounds its three ways at and beside every value and midpoint") {
  int wrong = 0;
  for (uint32_t pattern = 0; pattern < 0x7f800000u; pattern += 0x2000) {
    const double low = std::bit_cast<float>(pattern);
    const double step = std::ldexp(1.0, std::max(static_cast<int>(pattern >> 23), 1) - 127 - 10);
    const auto pick = [&](bool up) { return static_cast<float>(up ? low + step : low); };
    for (uint32_t cut : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu}) {
      const float value = std::bit_cast<float>(pattern + cut);
      const double middle = low + step / 2;
      const bool odd = pattern & 0x2000;
      for (float sign : {1.0f, -1.0f}) {
        wrong += tf32_from_f32(sign * value, Tf32Rounding::kTruncate) != sign * pick(false);
        wrong += tf32_from_f32(sign * value, Tf32Rounding::kRna) != sign * pick(value >= middle);
        wrong += tf32_from_f32(sign * value, Tf32Rounding::kRne) !=
                 sign * pick(value > middle || (value == middle && odd));
      }
      wrong += round_to(value, Dtype::kTf32) != tf32_from_f32(value, Tf32Rounding::kRne);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("dtype: tf32 keeps infinities and NaNs") {
  const float hidden_nan = std::bit_cast<float>(0x7f800001u);
  for (Tf32Rounding rounding : {Tf32Rounding::kRna, Tf32Rounding::kRne}) {
    CHECK(std::isinf(tf32_from_f32(HUGE_VALF, rounding)));
    CHECK(std::isnan(tf32_from_f32(hidden_nan, rounding)));
  }
  // Bare hardware reads the top 19 bits only: a NaN whose payload lies below them is an infinity to it.
  CHECK(std::isinf(tf32_from_f32(hidden_nan, Tf32Rounding::kTruncate)));
}

TEST_CASE(
    "dtype: stochastic bf16 rounds up for exactly the share of random numbers that the cut fraction is") {
  std::mt19937 random(3);
  for (int i = 0; i < 40; ++i) {
    uint32_t bits = static_cast<uint32_t>(random());
    if ((bits & 0x7f800000u) == 0x7f800000u) bits ^= 0x40000000u;
    const float value = std::bit_cast<float>(bits);
    uint32_t ups = 0, wrong = 0;
    for (uint32_t r = 0; r < 65536; ++r) {
      const uint16_t rounded = bf16_stochastic(value, static_cast<uint16_t>(r)).bits;
      ups += rounded == (bits >> 16) + 1;
      wrong += rounded != (bits >> 16) && rounded != (bits >> 16) + 1;
    }
    CHECK(ups == (bits & 0xffff));
    CHECK(wrong == 0);
  }
  CHECK(bf16_stochastic(HUGE_VALF, 65535).bits == 0x7f80);
  CHECK(std::isnan(to_f32(bf16_stochastic(std::bit_cast<float>(0x7f800001u), 65535))));
}

TEST_CASE("dtype: the table names every format, and an unknown name lists them") {
  for (const DtypeInfo& row : dtype_table()) {
    CHECK(dtype_from_name(row.name) == row.dtype);
    CHECK(info(row.dtype).size_bytes == row.size_bytes);
    CHECK(visit(row.dtype, []<class T>() { return sizeof(T); }) == static_cast<size_t>(row.size_bytes));
  }
  CHECK_THROWS_WITH(dtype_from_name("f8"), Catch::Contains("unknown format 'f8'") && Catch::Contains("bf16"));
  CHECK_THROWS_AS(tf32_rounding_from_name("up"), Error);
  CHECK(unit_roundoff(Dtype::kF16) == 0x1p-11);
}

}  // namespace
}  // namespace faultline
