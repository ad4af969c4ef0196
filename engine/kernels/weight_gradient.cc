#include "engine/kernels/weight_gradient.h"

#include <algorithm>
#include <vector>

#include "engine/kernels/chain_block.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"
#include "engine/kernels/unit_weight_gradient.h"

namespace faultline {
namespace {

constexpr int64_t kTileElements = 1 << 15, kSamplesPerLeaf = 8;

// On register blocks of chains, as dw^T = image [taps, positions] * dy^T [positions, OC]: the image is
// broadcast from where it lies, dy is packed with its channels side by side. A tile is some panels of taps
// and one group of channels.
class ChainGradient {
 public:
  ChainGradient(const WeightGradient& g, const KPlan& plan, const KFormats& formats)
      : g_(g),
        plan_(plan),
        formats_(formats),
        offsets_(g),
        positions_(offsets_.position.size()),
        K_(g.shape.N * positions_),
        registers_(register_block(g.shape.OC)),
        panels_(offsets_.tap.size(), registers_.rows, run_of_taps()),
        groups_(ceil_div(g.shape.OC, registers_.columns)),
        panel_tile_(std::max<int64_t>(1, kTileElements / registers_.columns / registers_.rows)),
        panel_tiles_(ceil_div(panels_.count, panel_tile_)) {}

  void run() const {
    TiledSum sum{"conv2d_dw", &plan_, formats_};
    sum.tiles = panel_tiles_ * groups_;
    sum.tile_elements = std::min(panels_.size, panel_tile_ * registers_.rows) * registers_.columns;
    sum.work = panels_.size * g_.shape.OC * K_;
    sum.can_add = true;
    sum.chain = [&](int64_t i, const KPlan::Range& range, bool adds, float* out) {
      chain(tile(i), range, adds, out);
    };
    sum.finish = [&](int64_t i, float* values) { finish(tile(i), values); };
    run_tiled_sum(sum);
  }

 private:
  struct Tile {
    int64_t group, channels, first_panel, last_panel;
  };

  Tile tile(int64_t i) const {
    const int64_t group = i / panel_tiles_, panel = i % panel_tiles_ * panel_tile_;
    return {group, std::min(registers_.columns, g_.shape.OC - group * registers_.columns), panel,
            std::min(panel + panel_tile_, panels_.count)};
  }

  // The taps of a row of the kernel read adjacent values, unless a stride parts them.
  int64_t run_of_taps() const {
    const int64_t run = g_.shape.KW;
    const bool adjacent = g_.shape.stride_w == 1 && formats_.accumulate == Dtype::kF32;
    return adjacent && (run == 3 || run == 5) && run <= registers_.rows ? run : 1;
  }

  void chain(const Tile& tile, const KPlan::Range& range, bool adds, float* out) const {
    // A row of few channels is followed by the next one: what a vector holds of that goes nowhere.
    const int64_t depth = range.end - range.begin, oc = tile.group * registers_.columns;
    const int64_t width = groups_ == 1 ? tile.channels : registers_.columns;
    const Scratch right(depth * width + registers_.columns);
    std::vector<int64_t> left_step(depth);
    for (int64_t k = 0, n = 0; k < depth; k += n) {
      const int64_t sample = (range.begin + k) / positions_, position = (range.begin + k) % positions_;
      n = std::min(positions_ - position, depth - k);
      const float* dy =
          g_.dy.data + (sample * g_.shape.OC + oc) * g_.dy.row_stride + position * g_.dy.col_stride;
      pack_panel({dy, g_.dy.col_stride, g_.dy.row_stride}, n, tile.channels, width, right.data() + k * width);
      const int64_t image = sample * g_.image.layout().sample();
      for (int64_t i = 0; i < n; ++i) left_step[k + i] = image + offsets_.position[position + i];
    }
    ChainBlock block{panels_, tile.first_panel, tile.last_panel};
    block.columns = tile.channels;
    block.depth = depth;
    block.accumulate = formats_.accumulate;
    block.left = g_.image.data();
    block.left_layout = LeftLayout::kGathered;
    block.left_run = panels_.run;
    block.left_row = offsets_.tap.data();
    block.left_offset = left_step.data();
    block.right = right.data();
    block.right_step = width;
    block.adds = adds;
    block.out = out;
    block.ld = registers_.columns;
    run_chain_block(block);
  }

  void finish(const Tile& tile, const float* values) const {
    const int64_t first = panels_.begin(tile.first_panel), taps = panels_.begin(tile.last_panel) - first;
    std::vector<float> line(taps);
    for (int64_t j = 0; j < tile.channels; ++j) {
      for (int64_t i = 0; i < taps; ++i) line[i] = values[i * registers_.columns + j];
      const int64_t offset = (tile.group * registers_.columns + j) * panels_.size + first;
      char* out = static_cast<char*>(g_.dw.data) + offset * size_bytes(g_.dw.dtype);
      convert_rows({line.data(), Dtype::kF32, taps}, {out, g_.dw.dtype, taps}, 1, taps);
    }
  }

  const WeightGradient& g_;
  const KPlan& plan_;
  KFormats formats_;
  ImageOffsets offsets_;
  int64_t positions_, K_;
  RegisterBlock registers_;
  RowPanels panels_;
  int64_t groups_, panel_tile_, panel_tiles_;
};

}  // namespace

void weight_gradient(const WeightGradient& g, const Unit& unit, Dtype input, const Arithmetic& arithmetic) {
  const int64_t positions = g.shape.OH() * g.shape.OW();
  const KPlan plan = plan_k(g.shape.N * positions, kSamplesPerLeaf * positions, true, arithmetic);
  const KFormats formats = k_formats(arithmetic, g.dw.dtype);
  if (arithmetic.unit == kFmaUnit)
    ChainGradient(g, plan, formats).run();
  else
    weight_gradient_on_unit(g, unit, input, plan, formats);
}

}  // namespace faultline
