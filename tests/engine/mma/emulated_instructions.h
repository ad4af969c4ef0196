// The AMX and AVX-512 intrinsics that engine/mma uses, in plain C++ after Intel's pseudocode, so that
// packing, tile configuration and tails are tested on processors without them. Include it before the file to
// test.
#pragma once

#include <immintrin.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "tests/engine/mma/flushing.h"

namespace faultline::emulated {

using Words = std::array<uint32_t, 16>;
using Floats = std::array<float, 16>;

inline float low(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
inline float high(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

template <class V>
V load(const void* at) {
  V v;
  std::memcpy(&v, at, sizeof(v));
  return v;
}

template <class V>
void store(void* at, const V& v) {
  std::memcpy(at, &v, sizeof(v));
}

inline Words load_where(uint32_t mask, const void* at) {
  Words v{};
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) std::memcpy(&v[i], static_cast<const char*>(at) + 4 * i, 4);
  }
  return v;
}

inline Words load_halves_where(uint32_t mask, const void* at) {
  Words v{};
  for (int i = 0; i < 32; ++i) {
    if (mask >> i & 1)
      std::memcpy(reinterpret_cast<char*>(v.data()) + 2 * i, static_cast<const char*>(at) + 2 * i, 2);
  }
  return v;
}

inline Words halves_where(uint32_t mask, const Words& x) { return load_halves_where(mask, x.data()); }

inline Words choose_words(const Words& x, const Words& index, const Words& y) {
  Words v;
  for (int i = 0; i < 16; ++i) v[i] = index[i] & 16 ? y[index[i] & 15] : x[index[i] & 15];
  return v;
}

inline Words all(uint32_t word) {
  Words v;
  v.fill(word);
  return v;
}

template <class Operation>
Words each(const Words& x, const Words& y, Operation operation) {
  Words v;
  for (int i = 0; i < 16; ++i) v[i] = operation(x[i], y[i]);
  return v;
}

inline Words choose_halves(const Words& x, const Words& index, const Words& y) {
  const auto halves = std::bit_cast<std::array<uint16_t, 32>>(index),
             from_x = std::bit_cast<std::array<uint16_t, 32>>(x),
             from_y = std::bit_cast<std::array<uint16_t, 32>>(y);
  std::array<uint16_t, 32> v;
  for (int i = 0; i < 32; ++i) v[i] = halves[i] & 32 ? from_y[halves[i] & 31] : from_x[halves[i] & 31];
  return std::bit_cast<Words>(v);
}

inline Floats dot_pairs(Floats c, const Words& a, const Words& b) {
  const Flushing flushing;
  for (int i = 0; i < 16; ++i) {
    c[i] = Flushing::fma(high(a[i]), high(b[i]), c[i]);
    c[i] = Flushing::fma(low(a[i]), low(b[i]), c[i]);
  }
  return c;
}

// The tile registers; a shape that an instruction would refuse is counted.
struct Tile {
  int rows = 0, row_bytes = 0;
  uint32_t words[16][16] = {};
};
inline thread_local Tile tiles[8];
inline int refused = 0;

inline void load_config(const void* config) {
  const auto* const bytes = static_cast<const uint8_t*>(config);
  refused += bytes[0] != 1 || bytes[1] != 0;
  for (int i = 0; i < 8; ++i) {
    uint16_t row_bytes;
    std::memcpy(&row_bytes, bytes + 16 + 2 * i, 2);
    tiles[i] = {bytes[48 + i], row_bytes};
    refused += tiles[i].rows > 16 || row_bytes > 64 || row_bytes % 4 != 0 ||
               (row_bytes == 0) != (tiles[i].rows == 0);
  }
}

inline void zero(Tile& tile) { tile = {tile.rows, tile.row_bytes}; }

inline void load_tile(Tile& tile, const void* at, int64_t stride) {
  zero(tile);
  refused += tile.rows == 0;
  for (int row = 0; row < tile.rows; ++row)
    std::memcpy(tile.words[row], static_cast<const char*>(at) + row * stride, tile.row_bytes);
}

inline void store_tile(const Tile& tile, void* at, int64_t stride) {
  for (int row = 0; row < tile.rows; ++row)
    std::memcpy(static_cast<char*>(at) + row * stride, tile.words[row], tile.row_bytes);
}

inline void dot_tiles(Tile& c, const Tile& a, const Tile& b) {
  refused += c.rows != a.rows || c.row_bytes != b.row_bytes || a.row_bytes != 4 * b.rows || c.rows == 0;
  const Flushing flushing;
  for (int m = 0; m < c.rows; ++m) {
    for (int n = 0; n < c.row_bytes / 4; ++n) {
      float even = 0, odd = 0;
      for (int k = 0; k < b.rows; ++k) {
        even = Flushing::fma(low(a.words[m][k]), low(b.words[k][n]), even);
        odd = Flushing::fma(high(a.words[m][k]), high(b.words[k][n]), odd);
      }
      const float sum = Flushing::add(std::bit_cast<float>(c.words[m][n]), Flushing::add(even, odd));
      c.words[m][n] = std::bit_cast<uint32_t>(sum);
    }
  }
}

}  // namespace faultline::emulated

#define FAULTLINE_AMX
#define FAULTLINE_AVX512_BF16
#define amx_bf16_hardware emulated_amx_bf16
#define amx_bf16_pack emulated_amx_bf16_pack
#define amx_bf16_multiply emulated_amx_bf16_multiply
#define avx512_bf16_hardware emulated_avx512_bf16
#define __m512i ::faultline::emulated::Words
#define __m512bh ::faultline::emulated::Words
#define __m512 ::faultline::emulated::Floats
#define _mm512_load_si512 ::faultline::emulated::load<::faultline::emulated::Words>
#define _mm512_store_si512 ::faultline::emulated::store
#define _mm512_store_ps ::faultline::emulated::store
#define _mm512_maskz_loadu_epi32 ::faultline::emulated::load_where
#define _mm512_set1_epi32 ::faultline::emulated::all
#define _mm512_setzero_si512 ::faultline::emulated::Words
#define _mm512_setzero_ps ::faultline::emulated::Floats
#define _mm512_maskz_loadu_epi16 ::faultline::emulated::load_halves_where
#define _mm512_permutex2var_epi32 ::faultline::emulated::choose_words
#define _mm512_permutex2var_epi16 ::faultline::emulated::choose_halves
#define _mm512_dpbf16_ps ::faultline::emulated::dot_pairs
#define _mm512_and_si512(x, y) ::faultline::emulated::each(x, y, [](uint32_t a, uint32_t b) { return a & b; })
#define _mm512_or_si512(x, y) ::faultline::emulated::each(x, y, [](uint32_t a, uint32_t b) { return a | b; })
#define _mm512_maskz_mov_epi16(mask, x) ::faultline::emulated::halves_where(mask, x)
#define _mm512_maskz_srli_epi32(mask, x, count) \
  ::faultline::emulated::each(x, x, [](uint32_t a, uint32_t) { return a >> (count); })
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig ::faultline::emulated::load_config
#define _tile_release()
#define _tile_zero(t) ::faultline::emulated::zero(::faultline::emulated::tiles[t])
#define _tile_loadd(t, at, stride) \
  ::faultline::emulated::load_tile(::faultline::emulated::tiles[t], at, stride)
#define _tile_stored(t, at, stride) \
  ::faultline::emulated::store_tile(::faultline::emulated::tiles[t], at, stride)
#define _tile_dpbf16ps(c, a, b)                                                                      \
  ::faultline::emulated::dot_tiles(::faultline::emulated::tiles[c], ::faultline::emulated::tiles[a], \
                                   ::faultline::emulated::tiles[b])
