// How an operand of TDPBF16PS is packed. A block is two tiles wide. A step is what it holds of 32 consecutive k: two
// tiles, of a left operand 16 rows of 32 k, of a right one 16 pairs of k by 16 columns: each the other's transpose,
// if a pair is taken as one word. Whichever of the two lies in memory is copied, the other is transposed.
// A last step of fewer k is completed by +0 on the left and -0 on the right, since adding their product changes no
// sum, not even -0. An odd k is paired with +0 and +0, as the unit is defined.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "engine/mma/unit.h"

#ifndef FAULTLINE_AMX
#define FAULTLINE_AMX __attribute__((target("avx512f,avx512bw,amx-tile,amx-bf16")))
#endif

namespace faultline {
namespace {

constexpr int64_t kTile = 16, kTileDepth = 32, kTileSize = kTile * kTileDepth, kStepSize = 2 * kTileSize;
// Of a panel that is packed on the way: a few blocks of both operands, 12 KiB each, and their part of C are in the first
// cache.
constexpr int64_t kPanelSteps = 6;

int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

inline uint32_t first_lanes(int64_t n) { return n < 32 ? (1u << n) - 1 : ~0u; }

FAULTLINE_AMX inline __m512i load_lanes(uint32_t lanes, const Bf16* at) {
  return _mm512_maskz_loadu_epi16(lanes, at);
}

// Which words of two rows make their first 16 pairs, and the others.
struct alignas(64) Pairs {
  uint16_t words[2][32];
};
constexpr Pairs kPairs = [] {
  Pairs pairs{};
  for (int i = 0; i < 32; ++i) {
    pairs.words[0][i] = i / 2 + i % 2 * 32;
    pairs.words[1][i] = pairs.words[0][i] + 16;
  }
  return pairs;
}();

// Stage by stage, what two lines 8, 4, 2, 1 apart take of each other.
struct alignas(64) Exchanges {
  uint32_t words[4][2][kTile];
};
constexpr Exchanges kExchanges = [] {
  Exchanges exchanges{};
  for (int stage = 0; stage < 4; ++stage) {
    const int distance = 8 >> stage;
    for (int j = 0; j < kTile; ++j) {
      exchanges.words[stage][0][j] = j & distance ? j - distance + kTile : j;
      exchanges.words[stage][1][j] = j & distance ? j + kTile : j + distance;
    }
  }
  return exchanges;
}();

// Transposes a tile of 16 x 16 words.
FAULTLINE_AMX inline void transpose(const uint16_t* tile, uint16_t* out) {
  __m512i line[kTile];
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) line[i] = _mm512_load_si512(tile + i * kTileDepth);
#pragma GCC unroll 4
  for (int stage = 0; stage < 4; ++stage) {
    const int distance = 8 >> stage;
    const __m512i low = _mm512_load_si512(kExchanges.words[stage][0]),
                  high = _mm512_load_si512(kExchanges.words[stage][1]);
#pragma GCC unroll 16
    for (int i = 0; i < kTile; ++i) {
      if (i & distance) continue;
      const __m512i x = line[i], y = line[i + distance];
      line[i] = _mm512_permutex2var_epi32(x, low, y);
      line[i + distance] = _mm512_permutex2var_epi32(x, high, y);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) _mm512_store_si512(out + i * kTileDepth, line[i]);
}

// Consecutive k that are packed together.
struct Panel {
  int64_t k, depth;
  int64_t steps() const { return (depth + kTileDepth - 1) / kTileDepth; }
};

inline Panel panel_at(int64_t k, int64_t K, int64_t steps) {
  return {k, std::min(K - k, steps * kTileDepth)};
}

// Packs blocks of an operand within a panel.
class PanelPacking {
 public:
  PanelPacking(const UnitOperand& operand, UnitSide side, int64_t size, const Panel& panel)
      : operand_(operand.from(0, panel.k)),
        side_(side),
        size_(size),
        panel_(panel),
        pairs_(operand_.offset != nullptr) {
    if (!pairs_) find_runs();
  }

  // Packs the block that begins at row (or column) i.
  FAULTLINE_AMX void pack(int64_t i, uint16_t* out) const {
    const int64_t rows = std::min(kUnitBlock, size_ - i), whole = round_up(rows, kTile);
    const bool as_it_lies = pairs_ == (side_ == UnitSide::kRight);
    alignas(64) uint16_t lying[kStepSize];
    if (!as_it_lies && !pairs_) clear_rows(rows, whole, lying);
    for (int64_t s = 0; s < panel_.steps(); ++s, out += kStepSize) {
      uint16_t* const to = as_it_lies ? out : lying;
      if (pairs_)
        copy_pairs(s, operand_.data + i, rows, to);
      else
        copy_rows(s, operand_.row + i, rows, to);
      if (as_it_lies && !pairs_) clear_rows(rows, whole, out);
      if (as_it_lies) continue;
      for (int64_t tile = 0; tile < whole * kTileDepth; tile += kTileSize)
        transpose(lying + tile, out + tile);
    }
  }

 private:
  // Lane l of a step, where `lanes` has bit l, is `offset` + l elements from a row.
  struct Run {
    uint32_t lanes;
    int64_t offset;
  };

  void find_runs() {
    const UnitRuns::Run* from = operand_.runs->at(operand_.first_k);
    Run* run = runs_;
    for (int64_t k = 0, n = 0; k < panel_.depth; k += n) {
      const int64_t at = operand_.first_k + k, lane = k % kTileDepth;
      while (from[1].k <= at) ++from;
      n = std::min({from[1].k - at, kTileDepth - lane, panel_.depth - k});
      if (lane == 0) begin_[k / kTileDepth] = run;
      *run++ = {first_lanes(n) << lane, from->offset + at - from->k - lane};
    }
    begin_[panel_.steps()] = run;
  }

  // Rows of no operand, which make elements of no result.
  FAULTLINE_AMX static void clear_rows(int64_t begin, int64_t end, uint16_t* tiles) {
    for (; begin < end; ++begin) _mm512_store_si512(tiles + begin * kTileDepth, _mm512_setzero_si512());
  }

  int64_t depth(int64_t s) const { return std::min(kTileDepth, panel_.depth - s * kTileDepth); }
  FAULTLINE_AMX __m512i completion() const {
    return side_ == UnitSide::kRight ? _mm512_set1_epi32(0x80008000) : _mm512_setzero_si512();
  }

  // Of step s each 32 k of a row, as a left operand has them.
  FAULTLINE_AMX void copy_rows(int64_t s, const int64_t* row, int64_t rows, uint16_t* out) const {
    switch (begin_[s + 1] - begin_[s]) {
      case 1:
        return copy_rows_of<1>(s, row, rows, out);
      case 2:
        return copy_rows_of<2>(s, row, rows, out);
      case 3:
        return copy_rows_of<3>(s, row, rows, out);
      case 4:
        return copy_rows_of<4>(s, row, rows, out);
      default:
        return copy_rows_of<kTileDepth>(s, row, rows, out);
    }
  }

  // Of up to kMost runs; few stay in registers.
  template <int64_t kMost>
  FAULTLINE_AMX void copy_rows_of(int64_t s, const int64_t* row, int64_t rows, uint16_t* out) const {
    const int64_t count = kMost == kTileDepth ? begin_[s + 1] - begin_[s] : kMost;
    Run run[kMost];
    std::copy_n(begin_[s], count, run);
    const __m512i rest = _mm512_maskz_mov_epi16(~first_lanes(round_up(depth(s), 2)), completion());
    for (int64_t i = 0; i < rows; ++i, out += kTileDepth) {
      const Bf16* const from = operand_.data + row[i];
      __m512i line = rest;
      for (int64_t r = 0; r < count; ++r) {
        line = _mm512_or_si512(line, load_lanes(run[r].lanes, from + run[r].offset));
      }
      _mm512_store_si512(out, line);
    }
  }

  // Of step s pairs of k interleaved, as a right operand has them.
  FAULTLINE_AMX void copy_pairs(int64_t s, const Bf16* data, int64_t rows, uint16_t* out) const {
    const __m512i near = _mm512_load_si512(kPairs.words[0]), far = _mm512_load_si512(kPairs.words[1]);
    const uint32_t lanes = first_lanes(rows);
    const int64_t* const offset = operand_.offset + s * kTileDepth;
    const int64_t depth = this->depth(s);
    for (int64_t k = 0; k < kTileDepth; k += 2, out += kTileDepth) {
      const __m512i even = k < depth ? load_lanes(lanes, data + offset[k]) : completion();
      const __m512i odd = k + 1 < depth   ? load_lanes(lanes, data + offset[k + 1])
                          : k + 1 > depth ? completion()
                                          : _mm512_setzero_si512();
      _mm512_store_si512(out, _mm512_permutex2var_epi16(even, near, odd));
      if (rows > kTile) _mm512_store_si512(out + kTileSize, _mm512_permutex2var_epi16(even, far, odd));
    }
  }

  UnitOperand operand_;
  UnitSide side_;
  int64_t size_;
  Panel panel_;
  bool pairs_;  // whether rows are neighbours
  Run runs_[kPanelSteps * kTileDepth];
  const Run* begin_[kPanelSteps + 1];  // of each step
};

}  // namespace
}  // namespace faultline
