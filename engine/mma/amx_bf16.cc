// TDPBF16PS itself: 2 x 2 tiles of accumulators, both operands packed once. A tile of C is 16 x 16 f32, one
// of A 16 rows of 32 k, one of B 16 pairs of k by 16 columns; every AMX processor has AVX-512 for the
// packing.
#include "engine/mma/intel_bf16.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <memory>

#include "engine/base/parallel.h"

#ifndef FAULTLINE_AMX
#define FAULTLINE_AMX __attribute__((target("avx512f,avx512bw,amx-tile,amx-bf16")))
#endif

namespace faultline {
namespace {

constexpr int64_t kTile = 16, kTileDepth = 32, kTileSize = kTile * kTileDepth;
constexpr int64_t kBlock = 2 * kTile;  // rows and columns of C in registers
constexpr int64_t kPanelDepth = 512;   // of B, two tiles wide: 32 KiB, in the first cache
constexpr int64_t kRegionRows = 512,
                  kRegionColumns = 256;  // of C, with their panels of A and B: in the second
constexpr int64_t kTileRowBytes = 64;

int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

// Consecutive k that are packed and multiplied together. Whole tiles; what is left of k is a panel of its own
// whose tiles are as much shorter, since zeros in their place could turn a chain's -0 to +0.
struct Panel {
  int64_t k, depth;
  int64_t tiles() const { return (depth + kTileDepth - 1) / kTileDepth; }
};

Panel panel_at(int64_t k, int64_t K) {
  const int64_t whole = (K - k) / kTileDepth * kTileDepth;
  return {k, whole > 0 ? std::min(whole, kPanelDepth) : K - k};
}

// Where the tiles of block `block` of a panel lie in an operand packed in `blocks` blocks.
int64_t packed_at(int64_t blocks, int64_t block, const Panel& panel) {
  return blocks * kBlock * panel.k + block * kBlock * panel.tiles() * kTileDepth;
}

// What LDTILECFG reads (Intel SDM, palette 1). Registers 0 to 3 hold C, 4 and 5 A, 6 and 7 B.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

// For tiles of `depth` k; of an odd one the last pair ends in a zero.
FAULTLINE_AMX void configure(int64_t depth) {
  const int64_t pairs = (std::min(depth, kTileDepth) + 1) / 2;
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = i == 4 || i == 5 ? 4 * pairs : kTileRowBytes;
    config.rows[i] = i >= 6 ? pairs : kTile;
  }
  // The intrinsic tells the compiler of eight bytes alone.
  asm volatile("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
}

// Row m of a block of A: the upper halves of its f32, 32 to a tile.
FAULTLINE_AMX void pack_row(const float* row, const Panel& panel, int64_t m, uint16_t* block) {
  alignas(64) uint16_t odd_words[32];
  for (int i = 0; i < 32; ++i) odd_words[i] = 2 * i + 1;
  const __m512i upper_halves = _mm512_load_si512(odd_words);
  uint16_t* out = block + (m / kTile) * kTileSize + (m % kTile) * kTileDepth;
  for (int64_t k = 0; k < panel.depth; k += kTileDepth, out += 2 * kTileSize) {
    const int64_t left = panel.depth - k;
    const uint32_t here = left >= 32 ? ~0u : (1u << left) - 1;
    const __m512i low = _mm512_maskz_loadu_epi32(here & 0xffff, row + k);
    const __m512i high = _mm512_maskz_loadu_epi32(here >> 16, row + k + 16);
    _mm512_store_si512(out, _mm512_permutex2var_epi16(low, upper_halves, high));
  }
}

// Rows k and k + 1 of a block of B, interleaved; a row beyond the panel is null.
FAULTLINE_AMX void pack_pair(const float* first, const float* second, int64_t columns, uint16_t* tiles) {
  for (int64_t n = 0; n < kBlock; n += kTile, tiles += kTileSize) {
    const int64_t left = std::clamp<int64_t>(columns - n, 0, kTile);
    const __mmask16 here = static_cast<__mmask16>((1u << left) - 1);
    const __m512i low = _mm512_maskz_loadu_epi32(here, first + n);
    const __m512i high = second ? _mm512_maskz_loadu_epi32(here, second + n) : _mm512_setzero_si512();
    const __m512i upper = _mm512_and_si512(high, _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
    const __m512i lower = _mm512_maskz_srli_epi32(here, low, 16);
    _mm512_store_si512(tiles, _mm512_or_si512(lower, upper));
  }
}

void pack_left(const UnitProduct& p, int64_t block, uint16_t* out) {
  const int64_t blocks = (p.M + kBlock - 1) / kBlock, rows = std::min(kBlock, p.M - block * kBlock);
  for (int64_t k = 0; k < p.K;) {
    const Panel panel = panel_at(k, p.K);
    uint16_t* const tiles = out + packed_at(blocks, block, panel);
    if (rows < kBlock) std::fill_n(tiles, kBlock * panel.tiles() * kTileDepth, 0);
    for (int64_t m = 0; m < rows; ++m) pack_row(p.a + (block * kBlock + m) * p.K + k, panel, m, tiles);
    k += panel.depth;
  }
}

void pack_right(const UnitProduct& p, int64_t block, uint16_t* out) {
  const int64_t blocks = (p.N + kBlock - 1) / kBlock, columns = std::min(kBlock, p.N - block * kBlock);
  for (int64_t k = 0; k < p.K;) {
    const Panel panel = panel_at(k, p.K);
    uint16_t* const tiles = out + packed_at(blocks, block, panel);
    for (int64_t i = 0; i < panel.depth; i += 2) {
      const float* const row = p.b + (k + i) * p.N + block * kBlock;
      pack_pair(row, i + 1 < panel.depth ? row + p.N : nullptr, columns,
                tiles + i / kTileDepth * 2 * kTileSize + i % kTileDepth * kTile);
    }
    k += panel.depth;
  }
}

// Adds one panel to a block of C, from +0 for the first. Rows of C are `ld` floats apart.
FAULTLINE_AMX void add_panel(const uint16_t* a, const uint16_t* b, int64_t tiles, bool first, float* c,
                             int64_t ld) {
  const int64_t row_bytes = ld * sizeof(float);
  float* const below = c + kTile * ld;
  // The intrinsics that load do not tell the compiler that they read memory.
  asm volatile("" ::: "memory");
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, c, row_bytes);
    _tile_loadd(1, c + kTile, row_bytes);
    _tile_loadd(2, below, row_bytes);
    _tile_loadd(3, below + kTile, row_bytes);
  }
  for (int64_t t = 0; t < tiles; ++t, a += 2 * kTileSize, b += 2 * kTileSize) {
    _tile_loadd(6, b, kTileRowBytes);
    _tile_loadd(4, a, kTileRowBytes);
    _tile_loadd(7, b + kTileSize, kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, a + kTileSize, kTileRowBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, row_bytes);
  _tile_stored(1, c + kTile, row_bytes);
  _tile_stored(2, below, row_bytes);
  _tile_stored(3, below + kTile, row_bytes);
}

void copy(const float* from, int64_t from_ld, int64_t rows, int64_t columns, float* to, int64_t to_ld) {
  for (int64_t m = 0; m < rows; ++m) std::copy_n(from + m * from_ld, columns, to + m * to_ld);
}

// The same for a block that may reach over the edge of C.
void add_panel_at(const UnitProduct& p, const uint16_t* a, const uint16_t* b, const Panel& panel, int64_t m,
                  int64_t n) {
  const int64_t rows = std::min(kBlock, p.M - m), columns = std::min(kBlock, p.N - n);
  float* const c = p.c + m * p.N + n;
  if (rows == kBlock && columns == kBlock) return add_panel(a, b, panel.tiles(), panel.k == 0, c, p.N);
  alignas(64) float whole[kBlock * kBlock] = {};
  if (panel.k > 0) copy(c, p.N, rows, columns, whole, kBlock);
  add_panel(a, b, panel.tiles(), panel.k == 0, whole, kBlock);
  copy(whole, kBlock, rows, columns, c, p.N);
}

FAULTLINE_AMX void run_region(const UnitProduct& p, const uint16_t* a, const uint16_t* b, int64_t m,
                              int64_t n) {
  const int64_t m_end = std::min(m + kRegionRows, p.M), n_end = std::min(n + kRegionColumns, p.N);
  const int64_t a_blocks = (p.M + kBlock - 1) / kBlock, b_blocks = (p.N + kBlock - 1) / kBlock;
  for (int64_t k = 0; k < p.K;) {
    const Panel panel = panel_at(k, p.K);
    configure(panel.depth);
    for (int64_t j = n; j < n_end; j += kBlock) {
      for (int64_t i = m; i < m_end; i += kBlock) {
        add_panel_at(p, a + packed_at(a_blocks, i / kBlock, panel),
                     b + packed_at(b_blocks, j / kBlock, panel), panel, i, j);
      }
    }
    k += panel.depth;
  }
  _tile_release();
}

// Memory for an operand packed in tiles, each 16 lines of the cache. It is kept from call to call: fresh pages
// would cost as much as the packing.
class PackedTiles {
 public:
  uint16_t* reserve(int64_t size, int64_t K) {
    const int64_t tiles = round_up(size, kBlock) * round_up(K, kTileDepth) / kTileSize;
    if (tiles > capacity_) {
      capacity_ = 0;
      tiles_ = std::make_unique_for_overwrite<Tile[]>(tiles);
      capacity_ = tiles;
    }
    return tiles_[0].values;
  }

 private:
  struct alignas(64) Tile {
    uint16_t values[kTileSize];
  };
  std::unique_ptr<Tile[]> tiles_;
  int64_t capacity_ = 0;
};

}  // namespace

void amx_bf16_hardware(const UnitProduct& p) {
  if (p.M == 0 || p.N == 0) return;
  thread_local PackedTiles left, right;
  uint16_t *const a = left.reserve(p.M, p.K), *const b = right.reserve(p.N, p.K);
  const auto for_all = [](int64_t n, auto body) {
    parallel_for("amx_bf16", n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i);
    });
  };
  for_all((p.M + kBlock - 1) / kBlock, [&](int64_t block) { pack_left(p, block, a); });
  for_all((p.N + kBlock - 1) / kBlock, [&](int64_t block) { pack_right(p, block, b); });
  const int64_t across = (p.N + kRegionColumns - 1) / kRegionColumns;
  for_all((p.M + kRegionRows - 1) / kRegionRows * across, [&](int64_t region) {
    run_region(p, a, b, region / across * kRegionRows, region % across * kRegionColumns);
  });
}

}  // namespace faultline
#endif
