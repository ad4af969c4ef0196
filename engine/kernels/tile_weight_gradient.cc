#include <algorithm>
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

// Where the k, position by position of each sample, lie: at a sample's stride times it, plus the position's offset.
std::vector<int64_t> steps(int64_t samples, int64_t stride, const std::vector<int64_t>& position) {
  std::vector<int64_t> step;
  step.reserve(samples * position.size());
  for (int64_t sample = 0; sample < samples; ++sample) {
    for (const int64_t offset : position) step.push_back(sample * stride + offset);
  }
  return step;
}

// As dw^T = image [taps, positions] * dy^T [positions, OC]: a copy of the image is all that its packing takes, and it
// is the larger part. A tile is some taps, with all channels.
class TileGradient {
 public:
  TileGradient(const TileWeightGradient& g, const UnitTiles& tiles, const KPlan& plan)
      : g_(g),
        tiles_(tiles),
        offsets_(g.shape, g.image.layout()),
        positions_(offsets_.position.size()),
        taps_(offsets_.tap.size()),
        stride_(round_to_unit_block(g.shape.OC)),
        tap_tile_(std::clamp(round_to_unit_block(ceil_div(taps_, threads())), kUnitBlock,
                             std::max(kTileElements / stride_ / kUnitBlock * kUnitBlock, kUnitBlock))),
        image_step_(steps(g.shape.N, g.image.layout().sample(), offsets_.position)),
        dy_("conv2d_dw.pack", tiles, UnitSide::kRight,
            {g.dy, multiples(g.shape.OC, positions_).data(),
             steps(g.shape.N, g.shape.OC * positions_, multiples(positions_, 1)).data()},
            g.shape.OC, image_step_.size(), plan) {}

  void run(const KPlan& plan, const KFormats& formats) const {
    TiledSum sum{"conv2d_dw", &plan, formats};
    sum.tiles = ceil_div(taps_, tap_tile_);
    sum.tile_elements = round_to_unit_block(std::min(taps_, tap_tile_)) * stride_;
    sum.work = taps_ * g_.shape.OC * static_cast<int64_t>(image_step_.size()) / kTileSpeed;
    sum.chain = [&](int64_t tile, const KPlan::Range& range, bool, float* out) {
      tiles_.multiply(
          {taps(tile),
           g_.shape.OC,
           range.end - range.begin,
           {g_.image.data(), offsets_.tap.data() + tile * tap_tile_, image_step_.data() + range.begin},
           dy_.rows(0, range),
           out,
           stride_});
    };
    sum.finish = [&](int64_t tile, const float* sums) { finish(tile, sums); };
    run_tiled_sum(sum);
  }

 private:
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
  ImageOffsets offsets_;
  int64_t positions_, taps_;
  int64_t stride_;  // of a tap in a tile
  int64_t tap_tile_;
  std::vector<int64_t> image_step_;
  PackedOperand dy_;
};

}  // namespace

void weight_gradient_by_tiles(const TileWeightGradient& g, const UnitTiles& tiles,
                              const Arithmetic& arithmetic) {
  const int64_t positions = g.shape.OH() * g.shape.OW();
  const KPlan plan = plan_k(g.shape.N * positions, kSamplesPerLeaf * positions, true, arithmetic);
  TileGradient(g, tiles, plan).run(plan, k_formats(arithmetic, g.dw.dtype));
}

}  // namespace faultline
