#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <mutex>
#include <thread>

#include "engine/base/parallel.h"
#include "engine/numerics/dtype.h"
#include "engine/numerics/math.h"

namespace faultline {
namespace {

// Calls body(first, last) over all 2^32 patterns of f32, on every processor.
void for_all_f32(const std::function<void(uint64_t, uint64_t)>& body) {
  set_threads(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  parallel_for("exhaustive test", 1 << 16, 1, [&](int64_t begin, int64_t end) {
    body(static_cast<uint64_t>(begin) << 16, static_cast<uint64_t>(end) << 16);
  });
}

// The error in ulps of f32 against an f64 result whose own error, below 2 ulps of f64, does not show.
// Infinite where infinity, NaN or the sign of zero is wrong.
double error(float got, double expected) {
  if (std::isnan(expected)) return std::bit_cast<uint32_t>(got) == 0x7fc00000u ? 0 : HUGE_VAL;
  if (std::isinf(got) || std::isinf(expected)) return got == static_cast<float>(expected) ? 0 : HUGE_VAL;
  if (expected == 0) return got == 0 && std::signbit(got) == std::signbit(expected) ? 0 : HUGE_VAL;
  const int exponent = std::max(std::ilogb(expected), -126);
  return std::fabs(std::ldexp(got - expected, 23 - exponent));
}

// The C library's f64 function is the reference here: MPFR would take days for all patterns.
template <class Function, class Reference>
double worst_error(Function function, Reference reference) {
  double worst = 0;
  std::mutex mutex;
  for_all_f32([&](uint64_t first, uint64_t last) {
    double range_worst = 0;
    for (uint64_t bits = first; bits < last; ++bits) {
      const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
      range_worst = std::max(range_worst, error(function(x), reference(static_cast<double>(x))));
    }
    const std::lock_guard lock(mutex);
    worst = std::max(worst, range_worst);
  });
  return worst;
}

TEST_CASE("math: exp stays within its stated error on every f32") {
  CHECK(worst_error(exp_f32, [](double x) { return std::exp(x); }) <= 0.98);
}

TEST_CASE("math: log stays within its stated error on every f32") {
  const auto reference = [](double x) { return x < 0 ? NAN : std::log(x); };
  CHECK(worst_error(log_f32, reference) <= 0.95);
}

TEST_CASE("math: tanh stays within its stated error on every f32") {
  CHECK(worst_error(tanh_f32, [](double x) { return std::tanh(x); }) <= 1.43);
}

TEST_CASE("math: sigmoid stays within its stated error on every f32") {
  CHECK(worst_error(sigmoid_f32, [](double x) { return 1 / (1 + std::exp(-x)); }) <= 2.41);
}

TEST_CASE("math: erf stays within its stated error on every f32") {
  CHECK(worst_error(erf_f32, [](double x) { return std::erf(x); }) <= 1.03);
}

TEST_CASE("dtype: the f32 and the f64 way into f16, bf16 and tf32 agree on every f32") {
  std::mutex mutex;
  uint64_t wrong = 0;
  for_all_f32([&](uint64_t first, uint64_t last) {
    uint64_t range_wrong = 0;
    for (uint64_t bits = first; bits < last; ++bits) {
      const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
      range_wrong +=
          f16_from_f32(x).bits != f16_from_f64(x).bits || bf16_from_f32(x).bits != bf16_from_f64(x).bits;
      const double tf32 = round_to(x, Dtype::kTf32);
      range_wrong += !std::isnan(x) && tf32_from_f32(x, Tf32Rounding::kRne) != tf32;
    }
    const std::lock_guard lock(mutex);
    wrong += range_wrong;
  });
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace faultline
