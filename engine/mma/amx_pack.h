// How an operand of TDPBF16PS is packed. A block is two tiles wide. A step is what it holds of 32 consecutive k: two
// tiles, of a left operand 16 rows of 32 k, of a right one 16 pairs of k by 16 columns: each the other's transpose,
// if a pair is taken as one word. Whichever of the two lies in memory is copied, the other is transposed.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/mma/unit.h"

#ifndef FAULTLINE_AMX
#define FAULTLINE_AMX __attribute__((target("avx512f,avx512bw,amx-tile,amx-bf16")))
#endif

namespace faultline {
namespace {

constexpr int64_t kTile = 16, kTileDepth = 32, kTileSize = kTile * kTileDepth, kStepSize = 2 * kTileSize;

int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

// Where the terms of some steps lie: in runs of neighbours that end with a step at the latest.
class PackedTerms {
 public:
  // Lane l of a step, where `lanes` has bit l, is `offset` + l elements from a row.
  struct Run {
    uint32_t lanes;
    int64_t offset;
  };

  PackedTerms(const int64_t* step, int64_t depth) : step_(step), depth_(depth) {}

  // Before runs are read; rows that are neighbours do without.
  void find_runs() {
    if (!first_.empty()) return;
    for (int64_t k = 0; k < depth_; ++k) {
      const int64_t lane = k % kTileDepth;
      if (lane == 0) first_.push_back(runs_.size());
      if (lane == 0 || step_[k] != step_[k - 1] + 1) runs_.push_back({0, step_[k] - lane});
      runs_.back().lanes |= 1u << lane;
    }
    first_.push_back(runs_.size());
  }

  int64_t steps() const { return (depth_ + kTileDepth - 1) / kTileDepth; }
  int64_t depth(int64_t s) const { return std::min(kTileDepth, depth_ - s * kTileDepth); }
  const int64_t* offsets(int64_t s) const { return step_ + s * kTileDepth; }
  const Run* begin(int64_t s) const { return runs_.data() + first_[s]; }
  const Run* end(int64_t s) const { return runs_.data() + first_[s + 1]; }

 private:
  const int64_t* step_;
  int64_t depth_;
  std::vector<Run> runs_;
  std::vector<int64_t> first_;  // run of each step
};

FAULTLINE_AMX inline __m512i load_lanes(uint32_t lanes, const Bf16* at) {
  return _mm512_maskz_loadu_epi16(lanes, at);
}

// Rows whose terms are neighbours: each 32 k of one, as a left operand has them.
FAULTLINE_AMX inline void copy_rows(const Bf16* data, const int64_t* row, int64_t rows,
                                    const PackedTerms& terms, int64_t s, uint16_t* out) {
  const PackedTerms::Run *const begin = terms.begin(s), *const end = terms.end(s);
  const int64_t whole = round_up(rows, kTile);
  for (int64_t i = 0; i < rows; ++i, out += kTileDepth) {
    __m512i line = load_lanes(begin->lanes, data + row[i] + begin->offset);
    for (const PackedTerms::Run* run = begin + 1; run < end; ++run) {
      line = _mm512_or_si512(line, load_lanes(run->lanes, data + row[i] + run->offset));
    }
    _mm512_store_si512(out, line);
  }
  for (int64_t i = rows; i < whole; ++i, out += kTileDepth) _mm512_store_si512(out, _mm512_setzero_si512());
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

// Rows that are neighbours themselves, 32 at the most: pairs of k interleaved, as a right operand has them.
FAULTLINE_AMX inline void copy_pairs(const Bf16* data, int64_t rows, const PackedTerms& terms, int64_t s,
                                     uint16_t* out) {
  const __m512i near = _mm512_load_si512(kPairs.words[0]), far = _mm512_load_si512(kPairs.words[1]);
  const uint32_t lanes = rows >= 32 ? ~0u : (1u << rows) - 1;
  const int64_t* const offset = terms.offsets(s);
  const int64_t depth = terms.depth(s);
  for (int64_t k = 0; k < depth; k += 2, out += kTileDepth) {
    const __m512i even = load_lanes(lanes, data + offset[k]);
    const __m512i odd = k + 1 < depth ? load_lanes(lanes, data + offset[k + 1]) : _mm512_setzero_si512();
    _mm512_store_si512(out, _mm512_permutex2var_epi16(even, near, odd));
    if (rows > kTile) _mm512_store_si512(out + kTileSize, _mm512_permutex2var_epi16(even, far, odd));
  }
}

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

inline bool neighbours(const int64_t* row, int64_t rows) {
  for (int64_t i = 1; i < rows; ++i) {
    if (row[i] != row[0] + i) return false;
  }
  return rows > 1;
}

// Packs the block of `rows` rows, 32 at the most, for the steps of `terms`.
FAULTLINE_AMX inline void pack_block(const Bf16* data, const int64_t* row, int64_t rows, PackedTerms& terms,
                                     UnitSide side, uint16_t* out) {
  const bool pairs = neighbours(row, rows), as_it_lies = pairs == (side == UnitSide::kRight);
  if (!pairs) terms.find_runs();
  alignas(64) uint16_t lying[kStepSize] = {};
  for (int64_t s = 0; s < terms.steps(); ++s, out += kStepSize) {
    uint16_t* const to = as_it_lies ? out : lying;
    if (pairs)
      copy_pairs(data + row[0], rows, terms, s, to);
    else
      copy_rows(data, row, rows, terms, s, to);
    if (as_it_lies) continue;
    transpose(lying, out);
    if (rows > kTile) transpose(lying + kTileSize, out + kTileSize);
  }
}

}  // namespace
}  // namespace faultline
