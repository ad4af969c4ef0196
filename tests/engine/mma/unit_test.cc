#include "engine/mma/unit.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "engine/base/error.h"

namespace faultline {
namespace {

const Unit& unit(const std::string& name) { return Registry<Unit>::instance().find(name); }

std::string refusal(const Arithmetic& arithmetic, Dtype input) {
  try {
    check_unit(arithmetic, input, "matmul");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("unit: refusals say what exists") {
  Arithmetic arithmetic;
  CHECK(refusal(arithmetic, Dtype::kF16) == "");
  arithmetic.unit = "eigne";
  CHECK(refusal(arithmetic, Dtype::kF32) == "matmul: unknown unit 'eigne' (known: eigen, fma)");
  arithmetic.unit = "eigen";
  CHECK(refusal(arithmetic, Dtype::kF64) ==
        "matmul: unit eigen does not take f64 operands (it takes f16, bf16, tf32, f32)");
  arithmetic.accumulate = Dtype::kF16;
  CHECK(refusal(arithmetic, Dtype::kF16) == "matmul: unit eigen does not accumulate in f16 (it has f32)");
  arithmetic.unit = "fma";
  CHECK(refusal(arithmetic, Dtype::kF16) == "");
  CHECK(refusal(arithmetic, Dtype::kBf16) == "matmul: accumulating in f16 takes f16 operands, not bf16");
  arithmetic.split_k = 0;
  CHECK(refusal(arithmetic, Dtype::kF16) == "matmul: split_k is 0, must be at least 1");
}

TEST_CASE("unit: f32 operands are tf32 to a unit where they are rounded to it") {
  Arithmetic arithmetic;
  CHECK(unit_input(arithmetic, Dtype::kF32) == Dtype::kF32);
  arithmetic.tf32 = true;
  CHECK(unit_input(arithmetic, Dtype::kF32) == Dtype::kTf32);
  CHECK(unit_input(arithmetic, Dtype::kF16) == Dtype::kF16);
}

TEST_CASE("unit: every unit multiplies small integers exactly") {
  const int64_t M = 5, N = 19, K = 37;
  std::mt19937 random(1);
  std::vector<float> a(M * K), b(K * N), want(M * N), got(M * N, NAN);
  for (float& x : a) x = static_cast<float>(static_cast<int>(random() % 7) - 3);
  for (float& x : b) x = static_cast<float>(static_cast<int>(random() % 7) - 3);
  for (int64_t i = 0; i < M * N; ++i) {
    for (int64_t k = 0; k < K; ++k) want[i] += a[i / N * K + k] * b[k * N + i % N];
  }
  for (const auto& [name, row] : Registry<Unit>::instance().entries()) {
    for (Dtype accumulate : row.accumulators) {
      INFO(name << " " << faultline::name(accumulate));
      row.product({M, N, K, a.data(), b.data(), got.data(), Dtype::kF16, accumulate});
      CHECK(got == want);
    }
  }
}

TEST_CASE("fma: an f16 step is one rounding of the exact sum") {
  // The product is a midpoint of f16 and the sum before it decides; two roundings would tie to even.
  const auto step = [](float a, float b, float c) {
    const float left[] = {c, a}, right[] = {1, b};
    float sum = 0;
    unit("fma").product({1, 1, 2, left, right, &sum, Dtype::kF16, Dtype::kF16});
    return sum;
  };
  CHECK(step(683, 3, 0x1p-24f) == 2050);   // 2049 and a little: up
  CHECK(step(683, 3, -0x1p-24f) == 2048);  // 2049 less a little: down
  CHECK(step(683, 3, 0) == 2048);          // the tie itself
  CHECK(step(-683, 3, -0x1p-24f) == -2050);
  CHECK(step(0x1p-14f, 0x1p-11f, 0x1p-24f) == 0x1p-23f);  // 1.5 subnormal quanta tie to 2
  CHECK(std::isinf(step(32752, 2, 16)));                  // 65520
  CHECK(step(32752, 2, 15) == 65504);
}

TEST_CASE("fma: the sum starts from +0 and keeps signs, infinities and NaNs") {
  const auto one = [](float a, float b) {
    float sum = 7;
    unit("fma").product({1, 1, 1, &a, &b, &sum, Dtype::kF32, Dtype::kF32});
    return sum;
  };
  CHECK_FALSE(std::signbit(one(-0.0f, 1)));   // +0 + -0
  CHECK(std::signbit(one(-1e-30f, 1e-30f)));  // an exact negative sum that rounds to zero
  CHECK(std::isnan(one(0, INFINITY)));
  CHECK(one(-1, INFINITY) == -INFINITY);
  CHECK(one(1e-40f, 1) == 1e-40f);
}

}  // namespace
}  // namespace faultline
