#include "engine/kernels/correlation.h"

#include <hwy/highway.h>

#include <algorithm>

#include "engine/kernels/chain_block.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"
#include "engine/kernels/unit_sum.h"

namespace faultline {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Tiles that stay in the L2 cache; the channels of one lie a line further apart than they are long, so that they do
// not share sets of the L1 cache.
constexpr int64_t kTilePositions = 1024, kTileElements = 1 << 16, kApart = 16;

// to[i] = from[i] + bias for i < n; as it is if there is no bias.
HWY_INLINE void store_line(const float* from, const float* bias, int64_t n, float* to) {
  using D = hn::ScalableTag<float>;
  const int64_t lanes = hn::Lanes(D());
  const auto store = [&](auto d, int64_t i) {
    const auto value = hn::LoadU(d, from + i);
    hn::StoreU(bias ? hn::Add(value, hn::Set(d, *bias)) : value, d, to + i);
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(D(), i);
  for (; i < n; ++i) store(hn::CappedTag<float, 1>(), i);
}

// Finishes rows [row, row + rows) of one channel, `stride` apart.
void store_rows(const Correlation& c, int64_t sample, int64_t m, int64_t row, int64_t rows, int64_t stride,
                float* values) {
  const ImageOut& out = c.out;
  const float* bias = out.bias ? out.bias + m : nullptr;
  const Dtype dtype = out.array.dtype;
  const int64_t first = out.first + sample * out.sample + m * out.channel + row * out.row;
  if (dtype == Dtype::kF32 && out.col == 1) {
    float* to = static_cast<float*>(out.array.data) + first;
    for (int64_t r = 0; r < rows; ++r) store_line(values + r * stride, bias, c.cols, to + r * out.row);
    return;
  }
  if (bias) store_line(values, bias, (rows - 1) * stride + c.cols, values);
  visit(dtype, [&]<class T>() {
    T* to = static_cast<T*>(out.array.data) + first;
    if (out.col == 1) return convert_rows({values, Dtype::kF32, stride}, {to, dtype, out.row}, rows, c.cols);
    std::vector<T> line(c.cols);
    for (int64_t r = 0; r < rows; ++r) {
      convert_rows({values + r * stride, Dtype::kF32, 0}, {line.data(), dtype, 0}, 1, c.cols);
      for (int64_t i = 0; i < c.cols; ++i) to[r * out.row + i * out.col] = line[i];
    }
  });
}

// On register blocks of chains. A tile is some rows of positions of one sample and some panels of channels.
class ChainCorrelation {
 public:
  explicit ChainCorrelation(const Correlation& c)
      : c_(c),
        layout_(c.planes.layout()),
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
    pack_weights();
  }

  void run(const char* kernel, const KPlan& plan, const KFormats& formats) const {
    TiledSum sum{kernel, &plan, formats};
    sum.tiles = layout_.N * row_tiles_ * panel_tiles_;
    sum.tile_elements = std::min(panel_tile_ * registers_.rows, c_.M) * stride_;
    sum.work = layout_.N * c_.M * c_.rows * layout_.width * c_.K();
    sum.chain = [&](int64_t i, const KPlan::Range& range, float* out) {
      chain(tile(i), range, formats.accumulate, false, out);
    };
    sum.add_chain = [&](int64_t i, const KPlan::Range& range, float* out) {
      chain(tile(i), range, formats.accumulate, true, out);
    };
    sum.finish = [&](int64_t i, float* values) { finish(tile(i), values); };
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

  void chain(const Tile& tile, const KPlan::Range& range, Dtype accumulate, bool adds, float* out) const {
    ChainBlock block{panels_, tile.first_panel, tile.last_panel};
    block.columns = (tile.rows - 1) * layout_.width + c_.cols;
    block.depth = range.end - range.begin;
    block.accumulate = accumulate;
    block.left = packed_.data() + panels_.begin(tile.first_panel) * c_.K();
    block.left_begin = range.begin;
    block.left_depth = c_.K();
    block.right = c_.planes.data() + tile.sample * layout_.sample() + tile.row * layout_.width;
    block.right_offset = c_.tap.data() + range.begin;
    block.right_group = registers_.columns;
    block.adds = adds;
    block.out = out;
    block.ld = stride_;
    run_chain_block(block);
  }

  void finish(const Tile& tile, float* values) const {
    const int64_t first = panels_.begin(tile.first_panel), last = panels_.begin(tile.last_panel);
    for (int64_t m = first; m < last; ++m) {
      store_rows(c_, tile.sample, m, tile.row, tile.rows, layout_.width, values + (m - first) * stride_);
    }
  }

  const Correlation& c_;
  const PlaneLayout& layout_;
  RegisterBlock registers_;
  RowPanels panels_;
  int64_t row_tile_, panel_tile_, row_tiles_, panel_tiles_;
  int64_t stride_;  // of a channel in a tile
  Scratch packed_;
};

// On any unit. A tile is some rows of positions of one sample, with all channels. A unit that reads windows takes
// the planes as they lie, with the positions behind each row that belong to no output; for others the matrix is
// written out.
class UnitCorrelation {
 public:
  UnitCorrelation(const Correlation& c, const Unit& unit)
      : c_(c),
        unit_(unit),
        width_(unit.windows ? c.planes.layout().width : c.cols),
        row_tile_(unit.dot ? std::clamp<int64_t>(kTilePositions / width_, 1, c.rows) : c.rows),
        weights_(c.M * c.K()) {
    const int64_t K = c.K();
    for (int64_t i = 0; i < c.M * K; ++i) {
      weights_[i] = c.weights[i / K * c.weight_row + c.weight_step[i % K]];
    }
  }

  void run(const char* kernel, Dtype input, const KPlan& plan, const KFormats& formats) const {
    UnitSum sum{kernel,
                unit_,
                plan,
                formats,
                input,
                c_.K(),
                weights_.data(),
                cut_into(c_.M, c_.M),
                columns(),
                [&](const UnitSum::Interval&, const UnitSum::Interval& n, float* sums) { finish(n, sums); },
                [&](const KPlan::Range& k, const UnitSum::Interval& n, float* out) { write_out(k, n, out); }};
    if (unit_.windows) {
      sum.multiply = [&](const KPlan::Range& k, int64_t m, const UnitSum::Interval& n, const float* left,
                         float* out) {
        const int64_t* taps = c_.tap.data() + k.begin;
        unit_.windows(
            {m, positions(n), k.end - k.begin, left, first(n), taps, out, input, formats.accumulate});
      };
    }
    run_unit_sum(sum);
  }

 private:
  // Whole rows of `width_` positions.
  std::vector<UnitSum::Interval> columns() const {
    std::vector<UnitSum::Interval> intervals;
    for (int64_t sample = 0; sample < c_.planes.layout().N; ++sample) {
      for (const auto& [begin, end] : cut_into(c_.rows, row_tile_)) {
        intervals.push_back({(sample * c_.rows + begin) * width_, (sample * c_.rows + end) * width_});
      }
    }
    return intervals;
  }
  int64_t sample(const UnitSum::Interval& n) const { return n.begin / width_ / c_.rows; }
  int64_t row(const UnitSum::Interval& n) const { return n.begin / width_ % c_.rows; }
  // Up to the last output.
  int64_t positions(const UnitSum::Interval& n) const { return n.size() - (width_ - c_.cols); }
  const float* first(const UnitSum::Interval& n) const {
    const PlaneLayout& layout = c_.planes.layout();
    return c_.planes.data() + sample(n) * layout.sample() + row(n) * layout.width;
  }

  void write_out(const KPlan::Range& k, const UnitSum::Interval& n, float* out) const {
    for (int64_t i = k.begin; i < k.end; ++i) {
      const float* image = first(n) + c_.tap[i];
      for (int64_t r = 0; r < n.size() / width_; ++r) {
        out = std::copy_n(image + r * c_.planes.layout().width, c_.cols, out);
      }
    }
  }

  void finish(const UnitSum::Interval& n, float* sums) const {
    for (int64_t m = 0; m < c_.M; ++m) {
      store_rows(c_, sample(n), m, row(n), n.size() / width_, width_, sums + m * positions(n));
    }
  }

  const Correlation& c_;
  const Unit& unit_;
  int64_t width_, row_tile_;
  std::vector<float> weights_;
};

}  // namespace

void correlate(const char* kernel, const Correlation& c, const Unit& unit, Dtype input,
               const Arithmetic& arithmetic) {
  const KPlan plan = plan_k(c.K(), 0, false, arithmetic);
  const KFormats formats = k_formats(arithmetic, c.out.array.dtype);
  if (arithmetic.unit == kFmaUnit)
    ChainCorrelation(c).run(kernel, plan, formats);
  else
    UnitCorrelation(c, unit).run(kernel, input, plan, formats);
}

}  // namespace faultline
