#include <algorithm>
#include <optional>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/packed_operand.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/weight_gradient.h"

namespace faultline {
namespace {

constexpr int64_t kTileElements = 1 << 16, kSamplesPerLeaf = 8;

int64_t round_to(int64_t multiple, int64_t n) { return ceil_div(n, multiple) * multiple; }

// Where the k, position by position of each sample, lie in images and in dy.
UnitRuns image_runs(const Conv2dShape& shape, const PlaneLayout& image) {
  UnitRuns runs;
  for (int64_t n = 0; n < shape.N; ++n) {
    for (int64_t h = 0; h < shape.OH(); ++h) runs.add(n * image.sample() + h * image.width, shape.OW());
  }
  return runs;
}
UnitRuns dy_runs(const Conv2dShape& shape) {
  const int64_t positions = shape.OH() * shape.OW();
  UnitRuns runs;
  for (int64_t n = 0; n < shape.N; ++n) runs.add(n * shape.OC * positions, positions);
  return runs;
}

// As dw^T = image [taps, positions] * dy^T [positions, OC]: a copy of the image is all that its packing takes, and it
// is the larger part. A tile is some taps, with all channels. Few tiles pack dy themselves, where the unit then finds
// it in a cache.
class TileGradient {
 public:
  TileGradient(const TileWeightGradient& g, const UnitTiles& tiles, const KPlan& plan)
      : g_(g),
        tiles_(tiles),
        tap_(image_taps(g.shape, g.image.layout())),
        taps_(tap_.size()),
        stride_(round_to_unit_block(g.shape.OC)),
        tap_tile_(std::min(round_to(kUnitBlock / 2, ceil_div(taps_, threads())),
                           round_to(kUnitBlock, ceil_div(kTileElements, stride_)))),
        image_runs_(image_runs(g.shape, g.image.layout())),
        channel_(multiples(g.shape.OC, g.shape.OH() * g.shape.OW())),
        dy_runs_(dy_runs(g.shape)),
        dy_{.data = g.dy, .row = channel_.data(), .runs = &dy_runs_} {
    if (tap_tiles() > threads()) {
      packed_dy_.emplace("conv2d_dw.pack", tiles, UnitSide::kRight, dy_, g.shape.OC, dy_runs_.size(), plan);
    }
  }

  void run(const KPlan& plan, const KFormats& formats) const {
    TiledSum sum{"conv2d_dw", &plan, formats};
    sum.tiles = tap_tiles();
    sum.tile_elements = round_to_unit_block(std::min(taps_, tap_tile_)) * stride_;
    sum.work = taps_ * g_.shape.OC * image_runs_.size() / kTileSpeed;
    sum.chain = [&](int64_t tile, const KPlan::Range& range, bool, float* out) {
      const UnitOperand image{.data = g_.image.data(), .row = tap_.data(), .runs = &image_runs_};
      tiles_.multiply({taps(tile), g_.shape.OC, range.end - range.begin,
                       image.from(tile * tap_tile_, range.begin),
                       packed_dy_ ? packed_dy_->rows(0, range) : dy_.from(0, range.begin), out, stride_});
    };
    sum.finish = [&](int64_t tile, const float* sums) { finish(tile, sums); };
    run_tiled_sum(sum);
  }

 private:
  int64_t tap_tiles() const { return ceil_div(taps_, tap_tile_); }
  int64_t taps(int64_t tile) const { return std::min(tap_tile_, taps_ - tile * tap_tile_); }

  void finish(int64_t tile, const float* sums) const {
    const int64_t n = taps(tile);
    std::vector<float> line(n);
    for (int64_t oc = 0; oc < g_.shape.OC; ++oc) {
      for (int64_t i = 0; i < n; ++i) line[i] = sums[i * stride_ + oc];
      const int64_t offset = oc * taps_ + tile * tap_tile_;
      char* out = static_cast<char*>(g_.dw.data) + offset * size_bytes(g_.dw.dtype);
      convert_rows({line.data(), Dtype::kF32, n}, {out, g_.dw.dtype, n}, 1, n);
    }
  }

  const TileWeightGradient& g_;
  const UnitTiles& tiles_;
  std::vector<int64_t> tap_;
  int64_t taps_;
  int64_t stride_;  // of a tap in a tile
  int64_t tap_tile_;
  UnitRuns image_runs_;
  std::vector<int64_t> channel_;
  UnitRuns dy_runs_;
  UnitOperand dy_;
  std::optional<PackedOperand> packed_dy_;
};

}  // namespace

void weight_gradient_by_tiles(const TileWeightGradient& g, const UnitTiles& tiles,
                              const Arithmetic& arithmetic) {
  const int64_t positions = g.shape.OH() * g.shape.OW();
  const KPlan plan = plan_k(g.shape.N * positions, kSamplesPerLeaf * positions, true, arithmetic);
  TileGradient(g, tiles, plan).run(plan, k_formats(arithmetic, g.dw.dtype));
}

}  // namespace faultline
