#include "engine/kernels/tile_product.h"

#include <algorithm>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/packed_operand.h"
#include "engine/kernels/planned_sum.h"

namespace faultline {
namespace {

constexpr int64_t kTile = 256;

// Packs an operand whose element (i, k) is at i * row_stride + k * k_stride.
PackedOperand packed(const UnitTiles& tiles, UnitSide side, const void* data, int64_t size, int64_t K,
                     int64_t row_stride, int64_t k_stride, const KPlan& plan) {
  const StridedOperand from(static_cast<const Bf16*>(data), size, K, row_stride, k_stride);
  return {"product.pack", tiles, side, from.operand(), size, K, plan};
}

// Of n outputs: all that a cache holds, or enough parts for the threads.
int64_t tile_size(int64_t n) {
  return std::clamp(round_to_unit_block(ceil_div(n, threads() > 1 ? 4 : 1)), kUnitBlock, kTile);
}

}  // namespace

void tile_product(const ProductArgs& args, const UnitTiles& tiles, const KPlan& plan,
                  const FinishTile& finish) {
  const PackedOperand left = packed(tiles, UnitSide::kLeft, args.a.data, args.M, args.K, args.a.row_stride,
                                    args.a.col_stride, plan),
                      right = packed(tiles, UnitSide::kRight, args.b.data, args.N, args.K, args.b.col_stride,
                                     args.b.row_stride, plan);
  const int64_t rows = tile_size(args.M), columns = tile_size(args.N), down = ceil_div(args.M, rows);
  const auto m = [&](int64_t tile) { return tile % down * rows; };
  const auto n = [&](int64_t tile) { return tile / down * columns; };
  TiledSum sum{"product", &plan, k_formats(args.arithmetic, args.out_dtype)};
  sum.tiles = down * ceil_div(args.N, columns);
  sum.tile_elements = rows * columns;
  sum.work = args.M * args.N * args.K / kTileSpeed;
  sum.chain = [&](int64_t tile, const KPlan::Range& range, bool, float* out) {
    tiles.multiply({std::min(rows, args.M - m(tile)), std::min(columns, args.N - n(tile)),
                    range.end - range.begin, left.rows(m(tile), range), right.rows(n(tile), range), out,
                    columns});
  };
  sum.finish = [&](int64_t tile, float* sums) {
    finish(m(tile), std::min(m(tile) + rows, args.M), n(tile), std::min(n(tile) + columns, args.N), sums,
           columns);
  };
  run_tiled_sum(sum);
}

}  // namespace faultline
