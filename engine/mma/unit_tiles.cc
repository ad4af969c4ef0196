#include "engine/mma/unit_tiles.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <numeric>
#include <vector>

#include "engine/base/parallel.h"

namespace faultline {
namespace {

constexpr int64_t kRegionRows = 512, kRegionColumns = 256;  // of c, with their panels: in the second cache

// Values in lines of the cache. They are kept from call to call: fresh pages would cost as much as the packing.
class Lines {
 public:
  Bf16* reserve(int64_t values) {
    const int64_t lines = (values + kLine - 1) / kLine;
    if (lines > capacity_) {
      capacity_ = 0;
      lines_ = std::make_unique_for_overwrite<Line[]>(lines);
      capacity_ = lines;
    }
    return lines_[0].values;
  }

 private:
  static constexpr int64_t kLine = 32;
  struct alignas(64) Line {
    Bf16 values[kLine];
  };
  std::unique_ptr<Line[]> lines_;
  int64_t capacity_ = 0;
};

// The values of bf16 that f32 hold.
void narrow(const float* from, int64_t n, Bf16* to) {
  for (int64_t i = 0; i < n; ++i) to[i].bits = std::bit_cast<uint32_t>(from[i]) >> 16;
}

float widened(Bf16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }

// Narrows and packs an operand of `size` rows whose element (i, k) is at i * row_stride + k * k_stride.
UnitOperand packed(const char* kernel, const UnitTiles& tiles, UnitSide side, const float* data, int64_t size,
                   int64_t K, int64_t row_stride, int64_t k_stride) {
  thread_local Lines dense_lines, packed_lines[2];
  Bf16* const dense = dense_lines.reserve(size * K);
  Bf16* const out =
      packed_lines[side == UnitSide::kRight].reserve(round_to_unit_block(size) * round_to_unit_block(K));
  constexpr int64_t kNarrowed = 1 << 15;
  parallel_for(kernel, size * K, kNarrowed,
               [&](int64_t begin, int64_t end) { narrow(data + begin, end - begin, dense + begin); });
  const StridedOperand from(dense, size, K, row_stride, k_stride);
  parallel_for(kernel, round_to_unit_block(size) / kUnitBlock, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kUnitBlock;
    tiles.pack(from.operand().from(first, 0), side, std::min(end * kUnitBlock, size) - first, K,
               out + first * round_to_unit_block(K));
  });
  return {.packed = out};
}

// One part of c, through memory that has room for whole blocks.
void multiply_region(const UnitTiles& tiles, const UnitProduct& p, const UnitOperand& left,
                     const UnitOperand& right, int64_t m, int64_t n) {
  thread_local Lines lines;
  float* const c = reinterpret_cast<float*>(lines.reserve(2 * kRegionRows * kRegionColumns));
  const int64_t rows = std::min(kRegionRows, p.M - m), columns = std::min(kRegionColumns, p.N - n);
  const int64_t K = round_to_unit_block(p.K);
  tiles.multiply({rows,
                  columns,
                  p.K,
                  {.packed = left.packed + m * K},
                  {.packed = right.packed + n * K},
                  c,
                  kRegionColumns});
  for (int64_t i = 0; i < rows; ++i) std::copy_n(c + i * kRegionColumns, columns, p.c + (m + i) * p.N + n);
}

}  // namespace

void product_by_tiles(const char* kernel, const UnitTiles& tiles, const UnitProduct& p) {
  if (p.M == 0 || p.N == 0) return;
  const UnitOperand left = packed(kernel, tiles, UnitSide::kLeft, p.a, p.M, p.K, p.K, 1),
                    right = packed(kernel, tiles, UnitSide::kRight, p.b, p.N, p.K, 1, p.N);
  const int64_t across = (p.N + kRegionColumns - 1) / kRegionColumns;
  const int64_t regions = (p.M + kRegionRows - 1) / kRegionRows * across;
  parallel_for(kernel, regions, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      multiply_region(tiles, p, left, right, i / across * kRegionRows, i % across * kRegionColumns);
    }
  });
}

UnitTiles tiles_of_product(const std::function<void(const UnitProduct&)>& product) {
  const auto pack = [](const UnitOperand& operand, UnitSide, int64_t size, int64_t K, Bf16* packed) {
    for (int64_t i = 0; i < size; ++i) {
      Bf16* const out = packed + i * round_to_unit_block(K);
      for (int64_t k = 0; k < K; ++k) out[k] = operand.element(i, k);
    }
  };
  const auto multiply = [product](const UnitTileProduct& p) {
    // Element (i, k).
    const auto at = [&](const UnitOperand& operand, int64_t i, int64_t k) {
      return widened(operand.packed != nullptr ? operand.packed[i * round_to_unit_block(p.K) + k]
                                               : operand.element(i, k));
    };
    std::vector<float> left(p.M * p.K), right(p.K * p.N), c(p.M * p.N);
    for (int64_t i = 0; i < p.M * p.K; ++i) left[i] = at(p.left, i / p.K, i % p.K);
    for (int64_t i = 0; i < p.K * p.N; ++i) right[i] = at(p.right, i % p.N, i / p.N);
    product({p.M, p.N, p.K, left.data(), right.data(), c.data(), Dtype::kBf16, Dtype::kF32});
    for (int64_t m = 0; m < p.M; ++m) std::copy_n(c.data() + m * p.N, p.N, p.c + m * p.ld);
  };
  return {pack, multiply};
}

}  // namespace faultline
