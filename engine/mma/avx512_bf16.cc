// VDPBF16PS itself: 8 rows by 3 vectors of accumulators, both operands packed once in pairs of k.
#include "engine/mma/intel_bf16.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <memory>

#include "engine/base/parallel.h"

#ifndef FAULTLINE_AVX512_BF16
#define FAULTLINE_AVX512_BF16 __attribute__((target("avx512f,avx512bf16")))
#endif

namespace faultline {
namespace {

constexpr int64_t kLanes = 16, kRows = 8, kVectors = 3, kColumns = kVectors * kLanes;

int64_t blocks_of(int64_t size, int64_t block) { return (size + block - 1) / block; }

// The pattern of a bf16 pair; the first is the lower half.
uint32_t pair(float first, float second) {
  return std::bit_cast<uint32_t>(first) >> 16 | (std::bit_cast<uint32_t>(second) & 0xffff0000u);
}

// Packs `count` rows or columns as [pair of k][width], completed by zeros; element (i, k) lies at
// i * stride_i + k * stride_k.
void pack(const float* data, int64_t count, int64_t K, int64_t stride_i, int64_t stride_k, int64_t width,
          uint32_t* out) {
  for (int64_t k = 0; k < K; k += 2, data += 2 * stride_k, out += width) {
    const bool whole = k + 1 < K;
    for (int64_t i = 0; i < count; ++i) {
      out[i] = pair(data[i * stride_i], whole ? data[i * stride_i + stride_k] : 0.0f);
    }
    std::fill(out + count, out + width, 0);
  }
}

// Memory for packed pairs, on whole lines of the cache.
class PackedPairs {
 public:
  explicit PackedPairs(int64_t pairs)
      : lines_(std::make_unique_for_overwrite<Line[]>(blocks_of(pairs, kLanes))) {}
  uint32_t* data() const { return lines_[0].pairs; }

 private:
  struct alignas(64) Line {
    uint32_t pairs[kLanes];
  };
  std::unique_ptr<Line[]> lines_;
};

// A block of outputs, carried through all pairs in rising order from +0.
FAULTLINE_AVX512_BF16 void run_block(const uint32_t* a, const uint32_t* b, int64_t pairs, float* out) {
  __m512 sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) sum[i][v] = _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < pairs; ++k, a += kRows, b += kColumns) {
    __m512bh right[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) right[v] = (__m512bh)_mm512_load_si512(b + v * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512bh left = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[i]));
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) sum[i][v] = _mm512_dpbf16_ps(sum[i][v], left, right[v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) _mm512_store_ps(out + i * kColumns + v * kLanes, sum[i][v]);
  }
}

}  // namespace

void avx512_bf16_hardware(const UnitProduct& p) {
  if (p.M == 0 || p.N == 0) return;
  const int64_t pairs = (p.K + 1) / 2, panels = blocks_of(p.N, kColumns);
  const PackedPairs right(panels * kColumns * pairs);
  parallel_for("avx512_bf16.pack", panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t n = panel * kColumns;
      pack(p.b + n, std::min(kColumns, p.N - n), p.K, 1, p.N, kColumns, right.data() + n * pairs);
    }
  });
  parallel_for("avx512_bf16", blocks_of(p.M, kRows), 1, [&](int64_t begin, int64_t end) {
    const PackedPairs left((end - begin) * kRows * pairs);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t m = block * kRows;
      pack(p.a + m * p.K, std::min(kRows, p.M - m), p.K, p.K, 1, kRows,
           left.data() + (block - begin) * kRows * pairs);
    }
    alignas(64) float out[kRows * kColumns];
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t n = panel * kColumns, columns = std::min(kColumns, p.N - n);
      for (int64_t block = begin; block < end; ++block) {
        run_block(left.data() + (block - begin) * kRows * pairs, right.data() + n * pairs, pairs, out);
        const int64_t m = block * kRows, rows = std::min(kRows, p.M - m);
        for (int64_t i = 0; i < rows; ++i) std::copy_n(out + i * kColumns, columns, p.c + (m + i) * p.N + n);
      }
    }
  });
}

}  // namespace faultline
#endif
