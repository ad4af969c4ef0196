#include "engine/numerics/math.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "tests/engine/numerics/real.h"

namespace faultline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

int mpfr_sigmoid(mpfr_ptr result, mpfr_srcptr x, mpfr_rnd_t rounding) {
  mpfr_neg(result, x, rounding);
  mpfr_exp(result, result, rounding);
  mpfr_add_ui(result, result, 1, rounding);
  return mpfr_ui_div(result, 1, result, rounding);
}

using Reference = int (*)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t);

struct FunctionF32 {
  const char* name;
  float (*function)(float);
  Reference reference;
  double stated_ulps;  // math.h
};
const FunctionF32 kF32[] = {
    {"exp", exp_f32, mpfr_exp, 0.98},    {"log", log_f32, mpfr_log, 0.95},
    {"tanh", tanh_f32, mpfr_tanh, 1.43}, {"sigmoid", sigmoid_f32, mpfr_sigmoid, 2.41},
    {"erf", erf_f32, mpfr_erf, 1.03},
};

struct FunctionF64 {
  const char* name;
  double (*function)(double);
  Reference reference;
  double stated_ulps;  // math.h
  double low, high;    // log2 of the magnitudes drawn
};
const FunctionF64 kF64[] = {
    {"exp", exp_f64, mpfr_exp, 0.75, -30, 9.54},   {"exp near 1", exp_f64, mpfr_exp, 0.75, -3, 3},
    {"log", log_f64, mpfr_log, 0.51, -1074, 1023}, {"log near 1", log_f64, mpfr_log, 0.51, -0.5, 0.5},
    {"sin", sin_f64, mpfr_sin, 0.75, -30, 1023},   {"sin near 1", sin_f64, mpfr_sin, 0.75, -3, 5},
    {"cos", cos_f64, mpfr_cos, 0.75, -30, 1023},   {"cos near 1", cos_f64, mpfr_cos, 0.75, -3, 5},
    {"tanh", tanh_f64, mpfr_tanh, 1.5, -30, 5},    {"sigmoid", sigmoid_f64, mpfr_sigmoid, 2.5, -10, 9.5},
    {"erf", erf_f64, mpfr_erf, 5, -30, 2.6},
};

// True if `got` is right where error_in_ulps does not apply: NaN as the one quiet NaN, infinity beyond the
// largest.
bool special_is_right(double got, double expected, double largest) {
  if (std::isnan(expected)) return std::bit_cast<uint64_t>(got) == 0x7ff8000000000000;
  return std::isinf(expected) ? got == expected : std::fabs(expected) >= largest && std::isinf(got);
}

// The error of an f32 function at x; infinite if a special value is wrong.
double error_f32(const FunctionF32& f, float x) {
  const float got = f.function(x);
  Real exact(x, 80);
  f.reference(exact.get(), exact.get(), MPFR_RNDN);
  const double expected = exact.nearest();
  if (std::isfinite(got) && std::isfinite(expected)) return exact.error_in_ulps(got, 23, -126);
  return special_is_right(got, expected, 0x1.ffffffp127) ? 0 : kInfinity;
}

double error_f64(const FunctionF64& f, double x) {
  const double got = f.function(x);
  Real exact(x, 120);
  f.reference(exact.get(), exact.get(), MPFR_RNDN);
  const double expected = exact.nearest();
  if (std::isfinite(got) && std::isfinite(expected)) return exact.error_in_ulps(got, 52, -1022);
  return special_is_right(got, expected, kInfinity) ? 0 : kInfinity;
}

TEST_CASE("math: f32 functions stay within their stated error of MPFR over a dense sample of all arguments") {
  for (const FunctionF32& f : kF32) {
    double worst = 0;
    for (uint64_t bits = 12345; bits < 1ull << 32; bits += 64997) {
      worst = std::max(worst, error_f32(f, std::bit_cast<float>(static_cast<uint32_t>(bits))));
    }
    for (float x = 0x1p-6f; x < 128; x *= 1.0007f)
      worst = std::max({worst, error_f32(f, x), error_f32(f, -x)});
    CAPTURE(f.name);
    CHECK(worst <= f.stated_ulps);
    CHECK(worst > f.stated_ulps / 2);  // The statement is not loose.
  }
}

TEST_CASE("math: f64 functions stay within their stated error of MPFR on random arguments") {
  std::mt19937_64 random(1);
  for (const FunctionF64& f : kF64) {
    double worst = 0;
    for (int i = 0; i < 20000; ++i) {
      const double magnitude =
          std::exp2(f.low + (f.high - f.low) * std::ldexp(static_cast<double>(random() >> 11), -53));
      worst = std::max(worst, error_f64(f, i % 2 ? magnitude : -magnitude));
    }
    CAPTURE(f.name);
    CHECK(worst <= f.stated_ulps);
    CHECK(worst > f.stated_ulps / 2);
  }
}

TEST_CASE("math: sin and cos are right beside multiples of pi/2, the nearest double to one among them") {
  const FunctionF64 sine = kF64[4], cosine = kF64[6];
  CHECK(error_f64(cosine, std::ldexp(6381956970095103.0, 797)) <= cosine.stated_ulps);
  for (int k = -20000; k <= 20000; ++k) {
    const double x = k * 0x1.921fb54442d18p+0;
    REQUIRE(error_f64(sine, x) <= sine.stated_ulps);
    REQUIRE(error_f64(cosine, x) <= cosine.stated_ulps);
  }
  CHECK(error_f64(sine, std::numeric_limits<double>::max()) <= sine.stated_ulps);
}

TEST_CASE("math: pow stays within its stated error of MPFR") {
  std::mt19937_64 random(2);
  const auto uniform = [&](double low, double high) {
    return low + (high - low) * std::ldexp(static_cast<double>(random() >> 11), -53);
  };
  double worst = 0;
  for (int i = 0; i < 50000; ++i) {
    const double x = i % 2 ? std::exp2(uniform(-5, 5)) : 1 + uniform(-1, 1) * std::exp2(uniform(-20, -2));
    const double y = i % 2 ? uniform(-150, 150) : uniform(-1, 1) * std::exp2(uniform(0, 20));
    Real exact(x, 120), exponent(y);
    mpfr_pow(exact.get(), exact.get(), exponent.get(), MPFR_RNDN);
    const double got = pow_f64(x, y);
    worst = std::max(
        worst, std::isinf(got) && std::isinf(exact.nearest()) ? 0 : exact.error_in_ulps(got, 52, -1022));
  }
  CHECK(worst <= 0.75);
  CHECK(worst > 0.5);
  CHECK(pow_f64(3, 4) == 81);
  CHECK(pow_f64(-2, 3) == -8);
  CHECK(pow_f64(0.1, 2) == 0.1 * 0.1);
}

TEST_CASE("math: pow has the special values of MPFR's IEEE table") {
  const double values[] = {0.0, -0.0, 1,    -1,        0.5,        -0.5, 2,       -2,     3,
                           -3,  2.5,  -2.5, kInfinity, -kInfinity, NAN,  0x1p900, 0x1p53, -0x1p-900};
  for (double x : values) {
    for (double y : values) {
      Real exact(x), exponent(y);
      mpfr_pow(exact.get(), exact.get(), exponent.get(), MPFR_RNDN);
      const double got = pow_f64(x, y), expected = exact.nearest();
      CAPTURE(x, y, got, expected);
      if (std::isnan(expected)) {
        CHECK(std::bit_cast<uint64_t>(got) == 0x7ff8000000000000);
      } else {
        CHECK(std::bit_cast<uint64_t>(got) == std::bit_cast<uint64_t>(expected));
      }
    }
  }
}

TEST_CASE("math: zeros keep the sign that the function gives them") {
  CHECK(exp_f32(-0.0f) == 1);
  CHECK(sigmoid_f32(-0.0f) == 0.5f);
  for (auto odd : {tanh_f32, erf_f32}) {
    CHECK(std::bit_cast<uint32_t>(odd(-0.0f)) == 0x80000000u);
    CHECK(std::bit_cast<uint32_t>(odd(0.0f)) == 0);
  }
  for (auto odd : {tanh_f64, erf_f64, sin_f64}) {
    CHECK(std::bit_cast<uint64_t>(odd(-0.0)) == 1ull << 63);
    CHECK(std::bit_cast<uint64_t>(odd(0.0)) == 0);
  }
  CHECK(std::bit_cast<uint32_t>(log_f32(1)) == 0);
  CHECK(std::bit_cast<uint64_t>(log_f64(1)) == 0);
  CHECK(log_f64(-0.0) == -kInfinity);
}

TEST_CASE("math: special arguments of every function are right") {
  const float specials[] = {0.0f,
                            HUGE_VALF,
                            NAN,
                            -NAN,
                            0x1p-149f,
                            0x1p-126f,
                            0x1.fffffep127f,
                            1.0f,
                            88.722f,
                            88.73f,
                            104,
                            150,
                            0.5625f,
                            9.1f,
                            std::bit_cast<float>(0x7f800001u)};
  for (float x : specials) {
    for (const FunctionF32& f : kF32) {
      CAPTURE(f.name, x);
      CHECK((std::isnan(x) ? std::bit_cast<uint32_t>(f.function(x)) == 0x7fc00000u
                           : error_f32(f, x) <= f.stated_ulps));
      if (!std::isnan(x)) CHECK(error_f32(f, -x) <= f.stated_ulps);
    }
    for (const FunctionF64& f : kF64) {
      CAPTURE(f.name, x);
      CHECK(error_f64(f, x) <= f.stated_ulps);
      CHECK(error_f64(f, -x) <= f.stated_ulps);
    }
  }
}

TEST_CASE("math: odd functions are odd, and bounded functions stay within their bounds") {
  std::mt19937 random(9);
  int wrong = 0;
  for (int i = 0; i < 1000000; ++i) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(x)) continue;
    wrong += tanh_f32(-x) != -tanh_f32(x) || erf_f32(-x) != -erf_f32(x);
    wrong += std::fabs(tanh_f32(x)) > 1 || std::fabs(erf_f32(x)) > 1;
    wrong += sigmoid_f32(x) < 0 || sigmoid_f32(x) > 1 || exp_f32(x) < 0;
  }
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace faultline
