#pragma once

#include <bit>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "engine/mma/unit.h"
#include "tests/engine/mma/bf16_operands.h"

namespace faultline {

// How an operand [size, K] lies in memory.
struct TileLayout {
  const char* name;
  bool rows_are_neighbours;
  int64_t (*row)(int64_t i, int64_t size, int64_t K);
  int64_t (*step)(int64_t k, int64_t size, int64_t K);
};
inline const TileLayout kTileLayouts[] = {
    {"k side by side", false, [](int64_t i, int64_t, int64_t K) { return i * K; },
     [](int64_t k, int64_t, int64_t) { return k; }},
    {"rows side by side", true, [](int64_t i, int64_t, int64_t) { return i; },
     [](int64_t k, int64_t size, int64_t) { return k * size; }},
    {"k in runs of 9", false, [](int64_t i, int64_t, int64_t) { return 9 * i; },
     [](int64_t k, int64_t size, int64_t) { return k / 9 * 9 * size + k % 9; }},
};

// An operand written out in a layout, with what it says where it lies.
struct LaidOut {
  // value(i, k) is a bf16.
  template <class Value>
  LaidOut(const TileLayout& layout, int64_t size, int64_t K, Value value)
      : rows_are_neighbours(layout.rows_are_neighbours), data((K + 9) * size, Bf16{0x7fc0}) {
    for (int64_t i = 0; i < size; ++i) row.push_back(layout.row(i, size, K));
    for (int64_t k = 0; k < K; ++k) {
      step.push_back(layout.step(k, size, K));
      runs.add(step.back(), 1);
    }
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t k = 0; k < K; ++k) {
        data[row[i] + step[k]].bits = std::bit_cast<uint32_t>(static_cast<float>(value(i, k))) >> 16;
      }
    }
  }
  UnitOperand operand() const {
    if (rows_are_neighbours) return {.data = data.data(), .offset = step.data()};
    return {.data = data.data(), .row = row.data(), .runs = &runs};
  }

  bool rows_are_neighbours;
  std::vector<Bf16> data;
  std::vector<int64_t> row, step;
  UnitRuns runs;
};

// Values at a line of the cache.
struct AlignedTiles {
  explicit AlignedTiles(int64_t n) : storage(n + 32) {}
  Bf16* data() {
    return storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64 / sizeof(Bf16);
  }
  std::vector<Bf16> storage;
};

// The products of tiles against `dot`, in every layout, packed before or on the way.
inline void compare_tiles(const UnitTiles& tiles, float (*dot)(const float*, const float*, int64_t, float)) {
  const int64_t sizes[][3] = {{1, 1, 1}, {5, 40, 31}, {33, 17, 66}, {16, 32, 32}, {70, 9, 673}};
  for (const auto& [M, N, K] : sizes) {
    const Operands operands(kFills[0], M, N, K, 9);
    std::vector<float> want(M * N), column(K);
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t k = 0; k < K; ++k) column[k] = operands.b[k * N + n];
      for (int64_t m = 0; m < M; ++m) want[m * N + n] = dot(operands.a.data() + m * K, column.data(), K, 0);
    }
    for (int i = 0; i < 36; ++i) {
      const TileLayout &l = kTileLayouts[i % 3], &r = kTileLayouts[i / 3 % 3];
      const LaidOut a(l, M, K, [&](int64_t m, int64_t k) { return operands.a[m * K + k]; });
      const LaidOut b(r, N, K, [&](int64_t n, int64_t k) { return operands.b[k * N + n]; });
      UnitOperand left = a.operand(), right = b.operand();
      const int64_t depth = round_to_unit_block(K), ld = round_to_unit_block(N);
      AlignedTiles left_tiles(round_to_unit_block(M) * depth), right_tiles(ld * depth);
      if (i / 9 % 2 == 0) {
        tiles.pack(left, UnitSide::kLeft, M, K, left_tiles.data());
        left.packed = left_tiles.data();
      }
      if (i / 9 < 2) {
        tiles.pack(right, UnitSide::kRight, N, K, right_tiles.data());
        right.packed = right_tiles.data();
      }
      std::vector<float> c(round_to_unit_block(M) * ld);
      tiles.multiply({M, N, K, left, right, c.data(), ld});
      INFO(M << " x " << N << " x " << K << ", left " << l.name << ", right " << r.name << ", packed "
             << i / 9);
      for (int64_t j = 0; j < M * N; ++j) {
        if (!same(c[j / N * ld + j % N], want[j])) FAIL("row " << j / N << " column " << j % N);
      }
    }
  }
}

// Whether a sum that two steps have flushed to -0 stays -0 in a last step of two k, whose products are flushed to -0.
inline void check_minus_zero(const UnitTiles& tiles,
                             float (*dot)(const float*, const float*, int64_t, float)) {
  constexpr int64_t kDepth = 66;
  std::vector<float> a(kDepth), b(kDepth, 0x1p-63f);
  a[0] = 0x1p-63f;
  a[32] = -0x1.02p-63f;
  a[64] = a[65] = -0x1p-64f;
  REQUIRE(same(dot(a.data(), b.data(), kDepth, 0), -0.0f));
  const TileLayout& layout = kTileLayouts[0];
  const LaidOut left(layout, 1, kDepth, [&](int64_t, int64_t k) { return a[k]; });
  const LaidOut right(layout, 1, kDepth, [&](int64_t, int64_t k) { return b[k]; });
  std::vector<float> c(kUnitBlock * kUnitBlock);
  tiles.multiply({1, 1, kDepth, left.operand(), right.operand(), c.data(), kUnitBlock});
  CHECK(same(c[0], -0.0f));
}

}  // namespace faultline
