// TDPBF16PS itself. A tile of C is 16 x 16 f32, one of A 16 rows of 32 k, one of B 16 pairs of k by 16 columns. A
// block is two tiles wide; a product of blocks keeps 2 x 2 tiles of C in registers. Every AMX processor has
// AVX-512 for the packing.
#include "engine/mma/intel_bf16.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <optional>

#include "engine/mma/amx_pack.h"
#include "engine/mma/unit_tiles.h"

namespace faultline {
namespace {

constexpr int64_t kTileRowBytes = 64;
// Of a panel where nothing is packed on the way: a block of 40 KiB.
constexpr int64_t kPackedPanelSteps = 20;

// What LDTILECFG reads (Intel SDM, palette 1). Registers 0 to 3 hold C, 4 and 5 A, 6 and 7 B.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

// For the rows of C of a product of M, of which a lone block has just these.
FAULTLINE_AMX void configure(int64_t M) {
  const uint8_t above = std::min(M, kTile),
                below = M > kUnitBlock ? kTile : std::clamp(M - kTile, int64_t{1}, kTile);
  const uint8_t rows[] = {above, above, below, below, above, below, kTile, kTile};
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = kTileRowBytes;
    config.rows[i] = rows[i];
  }
  // The intrinsic tells the compiler of eight bytes alone.
  asm volatile("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
}

// What a panel does with tiles of C, whose rows are `ld` floats apart.
struct Sums {
  float* c;
  int64_t ld;
  bool zero, load, store;
};

// Adds `steps` tiles of k to kDown x kAcross tiles of C.
template <int kDown, int kAcross>
FAULTLINE_AMX void add_panel(const uint16_t* a, const uint16_t* b, int64_t steps, const Sums& sums) {
  constexpr bool kBelow = kDown == 2, kBeside = kAcross == 2;
  float* const c = sums.c;
  const int64_t row_bytes = sums.ld * sizeof(float);
  float* const below = c + kTile * sums.ld;
  // The intrinsics that load do not tell the compiler that they read memory.
  asm volatile("" ::: "memory");
  if (sums.zero) {
    _tile_zero(0);
    if constexpr (kBeside) _tile_zero(1);
    if constexpr (kBelow) _tile_zero(2);
    if constexpr (kBelow && kBeside) _tile_zero(3);
  }
  if (sums.load) {
    _tile_loadd(0, c, row_bytes);
    if constexpr (kBeside) _tile_loadd(1, c + kTile, row_bytes);
    if constexpr (kBelow) _tile_loadd(2, below, row_bytes);
    if constexpr (kBelow && kBeside) _tile_loadd(3, below + kTile, row_bytes);
  }
  for (int64_t t = 0; t < steps; ++t, a += kStepSize, b += kStepSize) {
    _tile_loadd(6, b, kTileRowBytes);
    _tile_loadd(4, a, kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kBeside) {
      _tile_loadd(7, b + kTileSize, kTileRowBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kBelow) {
      _tile_loadd(5, a + kTileSize, kTileRowBytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kBeside) _tile_dpbf16ps(3, 5, 7);
    }
  }
  if (!sums.store) return;
  _tile_stored(0, c, row_bytes);
  if constexpr (kBeside) _tile_stored(1, c + kTile, row_bytes);
  if constexpr (kBelow) _tile_stored(2, below, row_bytes);
  if constexpr (kBelow && kBeside) _tile_stored(3, below + kTile, row_bytes);
}

// One block of rows by one of columns, as many tiles of each as hold any. A lone one stays in the registers from panel
// to panel.
void add_block(const UnitTileProduct& p, const uint16_t* a, const uint16_t* b, const Panel& panel, int64_t m,
               int64_t n) {
  const bool below = p.M - m > kTile, beside = p.N - n > kTile;
  const auto add =
      below ? (beside ? add_panel<2, 2> : add_panel<2, 1>) : (beside ? add_panel<1, 2> : add_panel<1, 1>);
  const bool lone = p.M <= kUnitBlock && p.N <= kUnitBlock;
  const bool first = panel.k == 0, last = panel.k + panel.depth == p.K;
  add(a, b, panel.steps(), {p.c + m * p.ld + n, p.ld, first, !first && !lone, last || !lone});
}

// The packed tiles of one operand within a panel, block by block: from where they were packed, or packed here. With room
// for two blocks the next one is packed before it is needed, since a tile waits for stores that have not reached the
// cache.
class PanelBlocks {
 public:
  // `here` has room for so many blocks.
  PanelBlocks(const UnitOperand& operand, UnitSide side, int64_t size, int64_t K, const Panel& panel,
              int64_t room, uint16_t* here)
      : size_(size), room_(room * kUnitBlock), ahead_(std::min(room_, 2 * kUnitBlock)), here_(here) {
    if (operand.packed != nullptr) {
      block_size_ = round_up(K, kTileDepth) * kUnitBlock;
      packed_ = &operand.packed->bits + panel.k * kUnitBlock;
    } else {
      block_size_ = panel.steps() * kStepSize;
      packing_.emplace(operand, side, size, panel);
    }
  }

  // Of the block that begins at row (or column) i.
  const uint16_t* at(int64_t i) {
    if (packed_ != nullptr) return packed_ + i / kUnitBlock * block_size_;
    if (i < begin_ || i >= end_) begin_ = end_ = i;
    for (; end_ < std::min(size_, i + ahead_); end_ += kUnitBlock) packing_->pack(end_, place(end_));
    begin_ = std::max(begin_, end_ - room_);
    return place(i);
  }

 private:
  uint16_t* place(int64_t i) const { return here_ + i % room_ / kUnitBlock * block_size_; }

  int64_t size_, block_size_;
  const uint16_t* packed_ = nullptr;
  int64_t room_, ahead_, begin_ = 0, end_ = 0;  // of rows; those that are here
  uint16_t* here_;
  std::optional<PanelPacking> packing_;
};

}  // namespace

void amx_bf16_pack(const UnitOperand& operand, UnitSide side, int64_t size, int64_t K, Bf16* packed) {
  for (int64_t k = 0; k < K; k += kPanelSteps * kTileDepth) {
    const PanelPacking packing(operand, side, size, panel_at(k, K, kPanelSteps));
    for (int64_t i = 0; i < size; i += kUnitBlock) {
      packing.pack(i, &packed->bits + i * round_up(K, kTileDepth) + k * kUnitBlock);
    }
  }
}

FAULTLINE_AMX void amx_bf16_multiply(const UnitTileProduct& p) {
  // Room for a block that goes round outside; for two where each is used once. For as many as there are inside.
  constexpr int64_t kInside = 4;
  alignas(64) uint16_t left_tiles[2 * kPanelSteps * kStepSize],
      right_tiles[kInside * kPanelSteps * kStepSize];
  const int64_t left_room = p.N > kUnitBlock ? 1 : 2;
  const int64_t right_room = p.left.packed == nullptr ? kInside : p.M > kUnitBlock ? 1 : 2;
  const bool packs = p.left.packed == nullptr || p.right.packed == nullptr;
  const int64_t steps = packs ? kPanelSteps : kPackedPanelSteps;
  configure(p.M);
  for (int64_t k = 0; k < p.K; k += steps * kTileDepth) {
    const Panel panel = panel_at(k, p.K, steps);
    PanelBlocks left(p.left, UnitSide::kLeft, p.M, p.K, panel, left_room, left_tiles),
        right(p.right, UnitSide::kRight, p.N, p.K, panel, right_room, right_tiles);
    // The operand that is packed on the way goes round outside.
    if (p.left.packed != nullptr) {
      for (int64_t n = 0; n < p.N; n += kUnitBlock) {
        const uint16_t* const b = right.at(n);
        for (int64_t m = 0; m < p.M; m += kUnitBlock) add_block(p, left.at(m), b, panel, m, n);
      }
    } else {
      for (int64_t m = 0; m < p.M; m += kUnitBlock) {
        const uint16_t* const a = left.at(m);
        for (int64_t n = 0; n < p.N; n += kUnitBlock) add_block(p, a, right.at(n), panel, m, n);
      }
    }
  }
  _tile_release();
}

void amx_bf16_hardware(const UnitProduct& product) {
  product_by_tiles("amx_bf16", {amx_bf16_pack, amx_bf16_multiply}, product);
}

}  // namespace faultline
#endif
