// The files of the hardware paths, compiled against emulated instructions.
#if defined(__x86_64__)
#include "tests/engine/mma/emulated_instructions.h"
// The files under test come after what they are to see.
#include <catch2/catch.hpp>

#include "engine/mma/amx_bf16.cc"
#include "engine/mma/avx512_bf16.cc"
#include "tests/engine/mma/bf16_operands.h"
#include "tests/engine/mma/tile_layouts.h"

namespace faultline {
namespace {

using Product = void(const UnitProduct&);

void compare(Product instruction, Product model) {
  const int64_t sizes[][3] = {{0, 3, 2},     {3, 0, 2},     {1, 1, 1},     {16, 16, 32},
                              {32, 32, 31},  {33, 47, 65},  {31, 1, 100},  {8, 48, 512},
                              {40, 70, 545}, {520, 33, 34}, {33, 260, 33}, {5, 6, 1088}};
  for (const Fill& fill : kFills) {
    for (const auto& [M, N, K] : sizes) {
      const Operands operands(fill, M, N, K, 8);
      std::vector<float> want(M * N, 7), got(M * N, 8);
      model({M, N, K, operands.a.data(), operands.b.data(), want.data(), Dtype::kBf16, Dtype::kF32});
      instruction({M, N, K, operands.a.data(), operands.b.data(), got.data(), Dtype::kBf16, Dtype::kF32});
      INFO(fill.name << " " << M << " x " << N << " x " << K);
      for (int64_t i = 0; i < M * N; ++i) {
        if (!same(want[i], got[i]))
          FAIL("element " << i << ": model " << want[i] << ", instruction " << got[i]);
      }
    }
  }
}

TEST_CASE(
    "amx_bf16: packing, tiles and tails of the hardware path give the model's bits on emulated "
    "instructions") {
  compare(emulated_amx_bf16, amx_bf16_model);
  CHECK(emulated::refused == 0);
}

TEST_CASE("amx_bf16: operands in any layout, packed before or on the way, on emulated instructions") {
  compare_tiles({emulated_amx_bf16_pack, emulated_amx_bf16_multiply}, amx_bf16_dot);
  CHECK(emulated::refused == 0);
}

TEST_CASE("amx_bf16: a last step of few k leaves -0 as it is, on emulated instructions") {
  check_minus_zero({emulated_amx_bf16_pack, emulated_amx_bf16_multiply}, amx_bf16_dot);
}

TEST_CASE(
    "avx512_bf16: packing and tails of the hardware path give the model's bits on emulated instructions") {
  compare(emulated_avx512_bf16, avx512_bf16_model);
}

}  // namespace
}  // namespace faultline
#endif
