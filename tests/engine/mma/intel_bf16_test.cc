#include "engine/mma/intel_bf16.h"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/mma/unit_tiles.h"
#include "tests/engine/mma/bf16_operands.h"
#include "tests/engine/mma/tile_layouts.h"
#include "tests/support/skip.h"
#if defined(__x86_64__)
#include "tests/engine/mma/flushing.h"
#endif

namespace faultline {
namespace {

struct Instruction {
  const char* name;
  float (*dot)(const float*, const float*, int64_t, float);
  void (*model)(const UnitProduct&);
  void (*hardware)(const UnitProduct&);
  bool (*is_here)();
};
#if defined(__x86_64__)
constexpr auto kAmxHardware = amx_bf16_hardware, kAvx512Hardware = avx512_bf16_hardware;
#else
constexpr void (*kAmxHardware)(const UnitProduct&) = nullptr,
                                     (*kAvx512Hardware)(const UnitProduct&) = nullptr;
#endif
const Instruction kInstructions[] = {
    {"amx_bf16", amx_bf16_dot, amx_bf16_model, kAmxHardware, has_amx_bf16},
    {"avx512_bf16", avx512_bf16_dot, avx512_bf16_model, kAvx512Hardware, has_avx512_bf16}};

float dot(const Instruction& instruction, const std::vector<float>& a, const std::vector<float>& b, float c) {
  return instruction.dot(a.data(), b.data(), a.size(), c);
}

#if defined(__x86_64__)
float amx_by_mxcsr(const std::vector<float>& a, const std::vector<float>& b, float c) {
  const Flushing flushing;
  for (size_t begin = 0; begin < a.size(); begin += 32) {
    const size_t end = std::min(begin + 32, a.size());
    float chain[2] = {0, 0};
    for (size_t k = begin; k < end; ++k) chain[k % 2] = Flushing::fma(a[k], b[k], chain[k % 2]);
    if (end % 2 == 1) chain[1] = Flushing::fma(0, 0, chain[1]);
    c = Flushing::add(c, Flushing::add(chain[0], chain[1]));
  }
  return c;
}

float avx512_by_mxcsr(const std::vector<float>& a, const std::vector<float>& b, float c) {
  const Flushing flushing;
  for (size_t k = 0; k < a.size(); k += 2) {
    const bool whole = k + 1 < a.size();
    c = Flushing::fma(whole ? a[k + 1] : 0, whole ? b[k + 1] : 0, c);
    c = Flushing::fma(a[k], b[k], c);
  }
  return c;
}

TEST_CASE("intel bf16: the plain models flush as the processor does with flush-to-zero on") {
  for (const Fill& fill : kFills) {
    Random random(3);
    int64_t subnormal = 0;
    for (int i = 0; i < 20000; ++i) {
      const Operands one(fill, 1, 1, 1 + i % 70, random());
      const float c = i % 3 == 0 ? 0.0f : fill.draw(random) * fill.draw(random);
      const float amx = dot(kInstructions[0], one.a, one.b, c),
                  avx512 = dot(kInstructions[1], one.a, one.b, c);
      INFO(fill.name << " k " << one.a.size() << " number " << i);
      REQUIRE(same(amx, amx_by_mxcsr(one.a, one.b, c)));
      REQUIRE(same(avx512, avx512_by_mxcsr(one.a, one.b, c)));
      subnormal += std::fpclassify(amx) == FP_SUBNORMAL || std::fpclassify(avx512) == FP_SUBNORMAL;
    }
    CHECK(subnormal == 0);
  }
}

TEST_CASE("intel bf16: a result just below the smallest normal number is tiny by its 24 bits") {
  // The sum 2^-126 - d, d from 2^-151 to 2^-148: below 2^-126 an f32 has a multiple of 2^-149 and would round
  // up.
  int flushed_although_it_rounds_up = 0;
  for (uint32_t pattern = 0x3f00; pattern < 0x4080; ++pattern) {
    const float x = bf16(pattern) * 0x1p-75f, y = -0x1p-75f;
    const std::vector<float> a = {x, 0x1p-63f}, b = {y, 0x1p-63f};  // the odd k comes first
    const float model = dot(kInstructions[1], a, b, 0);
    INFO("d " << double{x} * y);
    CHECK(same(model, avx512_by_mxcsr(a, b, 0)));
    flushed_although_it_rounds_up += model == 0 && std::fma(x, y, 0x1p-126f) == 0x1p-126f;
  }
  CHECK(flushed_although_it_rounds_up > 50);
}
#endif

TEST_CASE("amx_bf16: even and odd k are chains of their own, joined every 32 k") {
  const Instruction& amx = kInstructions[0];
  // In the even chain 2^24 swallows 1; the odd chain keeps it.
  CHECK(dot(amx, {0x1p12f, 0, 1, 0}, {0x1p12f, 0, 1, 0}, 0) == 0x1p24f);
  CHECK(dot(amx, {0x1p12f, 1, 0, 1}, {0x1p12f, 1, 0, 1}, 0) == 0x1p24f + 2);
  // The accumulator joins after the step: 2^24 + (1 + 1), but one by one in two steps.
  std::vector<float> a(33, 0), b(33, 1);
  a[0] = a[2] = 1;
  CHECK(dot(amx, a, b, 0x1p24f) == 0x1p24f + 2);
  std::swap(a[2], a[32]);
  CHECK(dot(amx, a, b, 0x1p24f) == 0x1p24f);
  CHECK(dot(amx, {0x1p-133f, 1}, {1, 0x1p-133f}, 0) == 0);  // subnormal operands are zero
  CHECK(dot(amx, {}, {}, 3) == 3);
}

TEST_CASE("avx512_bf16: one chain, of each pair the odd k first") {
  const Instruction& avx512 = kInstructions[1];
  CHECK(dot(avx512, {1, 0x1p12f}, {1, 0x1p12f}, 0) == 0x1p24f);
  CHECK(dot(avx512, {0x1p12f, 1}, {0x1p12f, 1}, 0) == 0x1p24f);
  CHECK(dot(avx512, {-0x1p12f, 0x1p12f, 1}, {0x1p12f, 0x1p12f, 1}, 1) == 1);  // (1 + 2^24) - 2^24 + 1
  CHECK(dot(avx512, {0x1p12f, -0x1p12f}, {0x1p12f, 0x1p12f}, 0x1p-2f) == 0);  // (1/4 - 2^24) + 2^24
  CHECK(dot(avx512, {0x1p-133f, 1}, {1, 0x1p-133f}, 0) == 0);
}

TEST_CASE("intel bf16: the fast models are the plain ones in every bit") {
  const int64_t sizes[][3] = {{0, 3, 2},   {3, 0, 2},   {1, 1, 1},  {1, 40, 2},    {3, 17, 31},
                              {5, 33, 33}, {9, 16, 64}, {4, 7, 97}, {13, 50, 130}, {2, 3, 513}};
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (const Instruction& instruction : kInstructions) {
      for (const Fill& fill : kFills) {
        for (const auto& [M, N, K] : sizes) {
          const Operands operands(fill, M, N, K, 5);
          std::vector<float> got(M * N, 7), column(K);
          instruction.model(
              {M, N, K, operands.a.data(), operands.b.data(), got.data(), Dtype::kBf16, Dtype::kF32});
          INFO(instruction.name << " " << fill.name << " " << M << " x " << N << " x " << K << " " << set);
          for (int64_t m = 0; m < M; ++m) {
            for (int64_t n = 0; n < N; ++n) {
              for (int64_t k = 0; k < K; ++k) column[k] = operands.b[k * N + n];
              const float want = instruction.dot(operands.a.data() + m * K, column.data(), K, 0);
              if (!same(got[m * N + n], want))
                FAIL("row " << m << " column " << n << " " << got[m * N + n] << " " << want);
            }
          }
        }
      }
    }
  }
  set_instruction_set("");
}

TEST_CASE("intel bf16: bits do not depend on threads") {
  const int64_t M = 70, N = 90, K = 300;
  const Operands operands(kFills[0], M, N, K, 6);
  for (const Instruction& instruction : kInstructions) {
    std::vector<float> one(M * N), three(M * N);
    const int before = threads();
    set_threads(1);
    instruction.model({M, N, K, operands.a.data(), operands.b.data(), one.data(), Dtype::kBf16, Dtype::kF32});
    set_threads(3);
    instruction.model(
        {M, N, K, operands.a.data(), operands.b.data(), three.data(), Dtype::kBf16, Dtype::kF32});
    set_threads(before);
    CHECK(one == three);
  }
}

// Every output of a product by the instruction against the model.
void compare_with_hardware(const Instruction& instruction) {
  if (!instruction.is_here())
    skip(std::string(instruction.name) + ": this processor lacks the instruction; its model ran");
  const int64_t sizes[][3] = {{1, 1, 1},      {16, 16, 32},    {32, 32, 31},  {33, 47, 65},
                              {31, 1, 1000},  {100, 70, 98},   {64, 96, 512}, {70, 300, 545},
                              {600, 50, 130}, {150, 100, 257}, {40, 40, 1024}};
  int64_t outputs = 0;
  for (const Fill& fill : kFills) {
    for (const auto& [M, N, K] : sizes) {
      const Operands operands(fill, M, N, K, 8);
      std::vector<float> model(M * N, 7), hardware(M * N, 8);
      instruction.model(
          {M, N, K, operands.a.data(), operands.b.data(), model.data(), Dtype::kBf16, Dtype::kF32});
      instruction.hardware(
          {M, N, K, operands.a.data(), operands.b.data(), hardware.data(), Dtype::kBf16, Dtype::kF32});
      for (int64_t i = 0; i < M * N; ++i, ++outputs) {
        if (same(model[i], hardware[i])) continue;
        FAIL(instruction.name << " " << fill.name << " " << M << " x " << N << " x " << K << " row " << i / N
                              << " column " << i % N << ": model " << std::hexfloat << model[i]
                              << ", hardware " << hardware[i]);
      }
    }
  }
  CHECK(outputs > 500000);
}

TEST_CASE("amx_bf16: the model is the instruction in every bit") { compare_with_hardware(kInstructions[0]); }
TEST_CASE("avx512_bf16: the model is the instruction in every bit") {
  compare_with_hardware(kInstructions[1]);
}

TEST_CASE("amx_bf16: operands in any layout, packed before or on the way") {
  compare_tiles(tiles_of_product(amx_bf16_model), amx_bf16_dot);
  compare_tiles(Registry<Unit>::instance().find("amx_bf16").tiles, amx_bf16_dot);
}

TEST_CASE("amx_bf16: a last step of few k leaves -0 as it is") {
  check_minus_zero(tiles_of_product(amx_bf16_model), amx_bf16_dot);
  check_minus_zero(Registry<Unit>::instance().find("amx_bf16").tiles, amx_bf16_dot);
}

TEST_CASE("intel bf16: the table says whether the instruction or its model runs here") {
  for (const Instruction& instruction : kInstructions) {
    const Unit& unit = Registry<Unit>::instance().find(instruction.name);
    const auto product = unit.product.target<void (*)(const UnitProduct&)>();
    REQUIRE(product != nullptr);
    CHECK(*product == (instruction.is_here() ? instruction.hardware : instruction.model));
    const float a[] = {1, 2}, b[] = {3, 4};
    CHECK(unit.dot({Dtype::kBf16, Dtype::kF32}, a, b, 2, 5) == 16);
    CHECK_THAT(unit.description,
               Catch::EndsWith(instruction.is_here() ? "the instruction runs here"
                                                     : "its model runs here, the processor lacks it"));
  }
}

}  // namespace
}  // namespace faultline
