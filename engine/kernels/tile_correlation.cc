#include <algorithm>
#include <vector>

#include "engine/kernels/chain_block.h"
#include "engine/kernels/correlation.h"
#include "engine/kernels/packed_operand.h"
#include "engine/kernels/planned_sum.h"

namespace faultline {
namespace {

// The channels of a tile lie a line further apart than they are long, so that they do not share sets of the L1 cache.
constexpr int64_t kTileElements = 1 << 15, kApart = 16;

// A tile is some rows of positions of one sample, with all channels. The unit reads the planes as they lie, with the
// positions behind each row that belong to no output.
class TileCorrelation {
 public:
  TileCorrelation(const char* kernel, const CorrelationOf<Bf16>& c, const PlanesOf<Bf16>& planes,
                  const UnitTiles& tiles, const KPlan& plan)
      : c_(c),
        planes_(planes),
        tiles_(tiles),
        width_(c.layout.width),
        row_tile_(std::clamp<int64_t>(most_positions() / width_, 1, c.rows)),
        row_tiles_(ceil_div(c.rows, row_tile_)),
        stride_(round_to_unit_block(row_tile_ * width_) + kApart),
        stored_(c, 1),
        weights_(pack_weights(kernel, plan)) {}

  void run(const char* kernel, const KPlan& plan, const KFormats& formats) const {
    TiledSum sum{kernel, &plan, formats};
    sum.tiles = c_.layout.N * row_tiles_;
    sum.tile_elements = round_to_unit_block(c_.M) * stride_;
    sum.work = c_.layout.N * c_.M * c_.rows * width_ * c_.K() / kTileSpeed;
    sum.chain = [&](int64_t tile, const KPlan::Range& range, bool, float* out) { chain(tile, range, out); };
    sum.finish = [&](int64_t tile, float* sums) {
      for (int64_t m = 0; m < c_.M; ++m) {
        store_rows(c_.out, c_.cols, tile / row_tiles_, m, row(tile), rows(tile), width_, sums + m * stride_);
      }
      stored_.add(rows(tile), tile / row_tiles_, 0, 0, c_.M);
    };
    run_tiled_sum(sum);
  }

 private:
  int64_t most_positions() const {
    return std::min(kCorrelationTilePositions, kTileElements / round_to_unit_block(c_.M));
  }
  PackedOperand pack_weights(const char* kernel, const KPlan& plan) const {
    const std::vector<int64_t> rows = multiples(c_.M, c_.weight_row);
    UnitRuns runs;
    for (const int64_t step : c_.weight_step) runs.add(step, 1);
    const UnitOperand weights{.data = c_.weights, .row = rows.data(), .runs = &runs};
    return {kernel, tiles_, UnitSide::kLeft, weights, c_.M, c_.K(), plan};
  }
  int64_t row(int64_t tile) const { return tile % row_tiles_ * row_tile_; }
  int64_t rows(int64_t tile) const { return std::min(row_tile_, c_.rows - row(tile)); }

  void chain(int64_t tile, const KPlan::Range& range, float* out) const {
    const Bf16* const image = planes_.data() + tile / row_tiles_ * c_.layout.sample() + row(tile) * width_;
    const int64_t positions = (rows(tile) - 1) * width_ + c_.cols;
    tiles_.multiply({c_.M,
                     positions,
                     range.end - range.begin,
                     weights_.rows(0, range),
                     {.data = image, .offset = c_.tap.data() + range.begin},
                     out,
                     stride_});
  }

  const CorrelationOf<Bf16>& c_;
  const PlanesOf<Bf16>& planes_;
  const UnitTiles& tiles_;
  int64_t width_, row_tile_, row_tiles_;
  int64_t stride_;  // of a channel in a tile
  StoredRows<Bf16> stored_;
  PackedOperand weights_;
};

}  // namespace

void correlate_by_tiles(const char* kernel, const CorrelationOf<Bf16>& c, const PlanesOf<Bf16>& planes,
                        const UnitTiles& tiles, const Arithmetic& arithmetic) {
  const KPlan plan = plan_k(c.K(), 0, false, arithmetic);
  TileCorrelation(kernel, c, planes, tiles, plan).run(kernel, plan, k_formats(arithmetic, c.out.array.dtype));
}

}  // namespace faultline
