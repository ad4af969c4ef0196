#include "engine/kernels/correlation.h"

#include <algorithm>

#include "engine/kernels/chain_block.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/scratch.h"

namespace faultline {
namespace {

// Tiles that stay in the L2 cache; the channels of one lie a line further apart than they are long, so that they do
// not share sets of the L1 cache.
constexpr int64_t kTilePositions = kCorrelationTilePositions, kTileElements = 1 << 16, kApart = 16;

// On register blocks of chains, with positions in the vectors. A tile is some rows of positions of one sample and some panels of channels.
class ChainCorrelation {
 public:
  explicit ChainCorrelation(const Correlation& c)
      : c_(c),
        layout_(c.layout),
        registers_(register_block(kTilePositions)),
        panels_(c.M, registers_.rows),
        packed_(c.M * c.K()) {
    const auto round_up = [&](int64_t n) { return ceil_div(n, registers_.columns) * registers_.columns; };
    const int64_t most_rows = std::clamp<int64_t>(kTilePositions / layout_.width, 1, c.rows);
    row_tile_ = ceil_div(c.rows, ceil_div(c.rows, most_rows));
    stride_ = round_up(row_tile_ * layout_.width) + kApart;
    panel_tile_ = std::clamp<int64_t>(kTileElements / stride_ / registers_.rows, 1, panels_.count);
    row_tiles_ = ceil_div(c.rows, row_tile_);
    panel_tiles_ = ceil_div(panels_.count, panel_tile_);
    stored_.emplace(c, panel_tiles_);
    pack_weights();
  }

  // Of the samples from `sample` on.
  void run(const char* kernel, const Planes& planes, int64_t sample, const KPlan& plan,
           const KFormats& formats) const {
    const int64_t N = planes.layout().N;
    TiledSum sum{kernel, &plan, formats};
    sum.tiles = N * row_tiles_ * panel_tiles_;
    sum.tile_elements = std::min(panel_tile_ * registers_.rows, c_.M) * stride_;
    sum.work = N * c_.M * c_.rows * layout_.width * c_.K();
    sum.can_add = true;
    sum.chain = [&](int64_t i, const KPlan::Range& range, bool adds, float* out) {
      chain(planes, tile(i), range, formats.accumulate, adds, out);
    };
    sum.finish = [&](int64_t i, float* values) { finish(sample, tile(i), values); };
    run_tiled_sum(sum);
  }

 private:
  struct Tile {
    int64_t sample, row, rows, first_panel, last_panel;
  };

  Tile tile(int64_t i) const {
    const int64_t panel = i % panel_tiles_ * panel_tile_, row = i / panel_tiles_ % row_tiles_ * row_tile_;
    return {i / panel_tiles_ / row_tiles_, row, std::min(row_tile_, c_.rows - row), panel,
            std::min(panel + panel_tile_, panels_.count)};
  }

  void pack_weights() {
    float* out = packed_.data();
    for (int64_t panel = 0; panel < panels_.count; ++panel) {
      for (int64_t k = 0; k < c_.K(); ++k) {
        const float* column = c_.weights + c_.weight_step[k];
        for (int64_t m = panels_.begin(panel); m < panels_.begin(panel + 1); ++m)
          *out++ = column[m * c_.weight_row];
      }
    }
  }

  void chain(const Planes& planes, const Tile& tile, const KPlan::Range& range, Dtype accumulate, bool adds,
             float* out) const {
    ChainBlock block{panels_, tile.first_panel, tile.last_panel};
    block.columns = (tile.rows - 1) * layout_.width + c_.cols;
    block.depth = range.end - range.begin;
    block.accumulate = accumulate;
    block.left = packed_.data() + panels_.begin(tile.first_panel) * c_.K();
    block.left_begin = range.begin;
    block.left_depth = c_.K();
    block.right = planes.data() + tile.sample * layout_.sample() + tile.row * layout_.width;
    block.right_offset = c_.tap.data() + range.begin;
    block.right_group = registers_.columns;
    block.adds = adds;
    block.out = out;
    block.ld = stride_;
    run_chain_block(block);
  }

  void finish(int64_t sample, const Tile& tile, float* values) const {
    const int64_t first = panels_.begin(tile.first_panel), last = panels_.begin(tile.last_panel);
    for (int64_t m = first; m < last; ++m) {
      store_rows(c_, sample + tile.sample, m, tile.row, tile.rows, layout_.width,
                 values + (m - first) * stride_);
    }
    stored_->add(tile.rows, sample + tile.sample, tile.first_panel / panel_tile_, first, last);
  }

  const Correlation& c_;
  const PlaneLayout& layout_;
  RegisterBlock registers_;
  RowPanels panels_;
  int64_t row_tile_, panel_tile_, row_tiles_, panel_tiles_;
  int64_t stride_;  // of a channel in a tile
  std::optional<StoredRows<float>> stored_;
  Scratch packed_;
};

}  // namespace

void correlate_chains(const char* kernel, const Correlation& c, const PlaneSource& source,
                      const Arithmetic& arithmetic) {
  const KPlan plan = plan_k(c.K(), 0, false, arithmetic);
  const KFormats formats = k_formats(arithmetic, c.out.array.dtype);
  if (samples_fill_vectors(c, source) && correlate_by_samples(kernel, c, source, plan, formats)) return;
  if (channels_fill_vectors(c)) return correlate_by_channels(kernel, c, source, plan, formats);
  const ChainCorrelation correlation(c);
  for_few_samples(kernel, source, PlaneReads::kVectors, [&](const Planes& planes, int64_t sample) {
    correlation.run(kernel, planes, sample, plan, formats);
  });
}

}  // namespace faultline
