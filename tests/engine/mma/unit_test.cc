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
  CHECK(
      refusal(arithmetic, Dtype::kF64) ==
      "matmul: unit fma has no product f64 -> f32 (it has f16 -> f32, bf16 -> f32, tf32 -> f32, f32 -> f32, "
      "f16 -> f16)");
  arithmetic.unit = "eigne";
  CHECK_THAT(refusal(arithmetic, Dtype::kF32),
             Catch::StartsWith("matmul: unknown unit 'eigne', did you mean 'eigen'? (known: a100, ") &&
                 Catch::Contains(", h100, h100:mma, ") && Catch::EndsWith(", v100)"));
  arithmetic.unit = "v100";
  CHECK(refusal(arithmetic, Dtype::kF16) == "");
  CHECK(refusal(arithmetic, Dtype::kBf16) ==
        "matmul: unit v100 has no product bf16 -> f32 (it has f16 -> f32, f16 -> f16)");
  CHECK_THAT(refusal(arithmetic, Dtype::kF32), Catch::Contains("no product f32 -> f32"));
  arithmetic.accumulate = Dtype::kF16;
  CHECK(refusal(arithmetic, Dtype::kF16) == "");
  arithmetic.unit = "a100";
  CHECK(refusal(arithmetic, Dtype::kBf16) ==
        "matmul: unit a100 has no product bf16 -> f16 (it has f16 -> f32, f16 -> f16, bf16 -> f32, tf32 -> "
        "f32)");
  arithmetic.unit = "eigen";
  CHECK_THAT(refusal(arithmetic, Dtype::kF16), Catch::Contains("unit eigen has no product f16 -> f16"));
  arithmetic.unit = "fma";
  CHECK(refusal(arithmetic, Dtype::kF16) == "");
  arithmetic.split_k = 0;
  CHECK(refusal(arithmetic, Dtype::kF16) == "matmul: split_k is 0, must be at least 1");
}

TEST_CASE("unit: which formats each chip multiplies") {
  const auto has = [](const std::string& name, Dtype input, Dtype accumulate) {
    return step_rule(unit(name).rules, {input, accumulate}) != nullptr;
  };
  for (const std::string name : {"v100", "t4", "a100", "a2", "l40s", "ada", "h100", "h200", "h100:mma",
                                 "h100:wmma", "b200", "b200:mma", "b200:wmma"}) {
    CAPTURE(name);
    CHECK(has(name, Dtype::kF16, Dtype::kF32));
    CHECK(has(name, Dtype::kF16, Dtype::kF16));
    CHECK(has(name, Dtype::kBf16, Dtype::kF32) == (name != "v100" && name != "t4"));
    CHECK(has(name, Dtype::kTf32, Dtype::kF32) == (name != "v100" && name != "t4"));
    const bool fp8 = name == "l40s" || name == "ada" || name == "h100" || name == "h200" || name == "b200";
    CHECK(has(name, Dtype::kE4m3, Dtype::kF32) == fp8);
    CHECK(has(name, Dtype::kE5m2, Dtype::kF32) == fp8);
    CHECK(has(name, Dtype::kE4m3, Dtype::kF16) == (fp8 && name != "b200"));
    CHECK_FALSE(has(name, Dtype::kBf16, Dtype::kF16));
    // The other formats are fp8, by steps of f16.
    CHECK(unit(name).formats.size() == unit(name).rules.size() + (name == "h100:mma" ? 4 : 0));
  }
}

TEST_CASE("unit: an explanation says how each adds") {
  const auto text = [](const char* name, Dtype input, Dtype accumulate) {
    return order_phrase(unit(name), {input, accumulate});
  };
  CHECK(text("h100", Dtype::kF16, Dtype::kF32) ==
        "steps of 16 products, 25 bits kept below the largest exponent, cut toward zero");
  CHECK(text("a100", Dtype::kTf32, Dtype::kF32) ==
        "steps of 4 products, 24 bits kept below the largest exponent, cut toward zero");
  CHECK(text("v100", Dtype::kF16, Dtype::kF16) ==
        "steps of 4 products, 23 bits kept below the largest exponent, rounded to nearest even");
  CHECK(text("h100", Dtype::kE4m3, Dtype::kF32) ==
        "steps of 32 products, 13 bits kept below the largest exponent, cut toward zero to 13 fraction bits");
  CHECK(text("h100:mma", Dtype::kE4m3, Dtype::kF32) ==
        "two steps of f16 from +0, k % 4 below 2 first, and the accumulator added last, to nearest even");
  CHECK_THAT(text("fma", Dtype::kF32, Dtype::kF32), Catch::Contains("fused multiply-adds in blocks of 512"));
}

TEST_CASE("unit: f32 operands are tf32 to a unit where they are rounded to it") {
  Arithmetic arithmetic;
  CHECK(unit_input(arithmetic, Dtype::kF32) == Dtype::kF32);
  arithmetic.tf32 = true;
  CHECK(unit_input(arithmetic, Dtype::kF32) == Dtype::kTf32);
  CHECK(unit_input(arithmetic, Dtype::kF16) == Dtype::kF16);
}

TEST_CASE("unit: every unit multiplies small integers exactly, and so does its plain model") {
  const int64_t M = 5, N = 19, K = 37;
  std::mt19937 random(1);
  std::vector<float> a(M * K), b(K * N), want(M * N), got(M * N, NAN);
  for (float& x : a) x = static_cast<float>(static_cast<int>(random() % 7) - 3);
  for (float& x : b) x = static_cast<float>(static_cast<int>(random() % 7) - 3);
  for (int64_t i = 0; i < M * N; ++i) {
    for (int64_t k = 0; k < K; ++k) want[i] += a[i / N * K + k] * b[k * N + i % N];
  }
  for (const auto& [name, row] : Registry<Unit>::instance().entries()) {
    for (const UnitFormat& format : row.formats) {
      INFO(name << " " << faultline::name(format.input) << " -> " << faultline::name(format.accumulate));
      const UnitProduct call{M, N, K, a.data(), b.data(), got.data(), format.input, format.accumulate};
      row.product(call);
      CHECK(got == want);
      if (!row.dot) continue;
      std::fill(got.begin(), got.end(), NAN);
      product_of_dots(call, row.dot);
      CHECK(got == want);
    }
  }
}

TEST_CASE("unit: the plain model goes on from an accumulator") {
  const float ones[] = {1, 1, 1, 1, 1};
  for (const auto& [name, row] : Registry<Unit>::instance().entries()) {
    if (!row.dot) continue;
    INFO(name);
    CHECK(row.dot(row.formats[0], ones, ones, 5, 0.5f) == 5.5f);
    CHECK(row.dot(row.formats[0], ones, ones, 0, 0.5f) == 0.5f);
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
