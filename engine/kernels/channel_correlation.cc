#include <algorithm>
#include <array>

#include "engine/kernels/chain_block.h"
#include "engine/kernels/correlation.h"
#include "engine/kernels/packing.h"
#include "engine/kernels/scratch.h"

namespace faultline {
namespace {

constexpr int64_t kTileElements = 1 << 16;
// So few positions of a row take as long as this many.
constexpr int64_t kLeastColumns = 8;
// A vector of positions crosses a line of the cache.
constexpr double kCrossing = 1.25;

// On register blocks of chains, with channels in the vectors: the image is broadcast from where it lies, a row of
// outputs at a time, and the weights are packed with their channels side by side. A tile is some rows of one sample.
class ChannelCorrelation {
 public:
  explicit ChannelCorrelation(const Correlation& c)
      : c_(c),
        layout_(c.layout),
        registers_(register_block(c.M)),
        whole_rows_(c.cols <= registers_.rows),
        stride_(ceil_div(c.M, registers_.columns) * registers_.columns),
        row_tile_(std::clamp<int64_t>(kTileElements / stride_ / c.cols, 1, c.rows)),
        row_tiles_(ceil_div(c.rows, row_tile_)),
        stored_(c, 1),
        weights_(stride_ * c.K()) {
    for (int64_t r = 0; r < row_tile_; ++r) {
      for (int64_t i = 0; i < c.cols; ++i) position_.push_back(r * layout_.width + i);
    }
    pack_weights();
  }

  // Of the samples from `sample` on.
  void run(const char* kernel, const PlaneSource& source, const Planes& planes, int64_t sample,
           const KPlan& plan, const KFormats& formats) const {
    const int64_t N = planes.layout().N;
    TiledSum sum{kernel, &plan, formats};
    sum.tiles = N * row_tiles_;
    sum.tile_elements = row_tile_ * c_.cols * stride_;
    sum.work = N * stride_ * c_.rows * c_.cols * c_.K();
    sum.can_add = true;
    sum.chain = [&](int64_t tile, const KPlan::Range& range, bool adds, float* out) {
      const int64_t now = sample + tile / row_tiles_;
      chain(planes, tile, range, formats.accumulate, {next_image(source, now + N), output(now)}, adds, out);
    };
    sum.finish = [&](int64_t tile, float* sums) { finish(sample, tile, sums); };
    run_tiled_sum(sum);
  }

 private:
  struct Bytes {
    const char* data;  // or nullptr
    int64_t size;
  };

  // The image of a sample, if there is one.
  Bytes next_image(const PlaneSource& source, int64_t sample) const {
    const int64_t size = layout_.C * layout_.H * layout_.W * size_bytes(source.images.dtype);
    if (sample >= source.layout.N) return {nullptr, 0};
    return {static_cast<const char*>(source.images.data) + sample * size, size};
  }

  // Where the outputs of a sample go.
  Bytes output(int64_t sample) const {
    const ImageOut& out = c_.out;
    const int64_t element = size_bytes(out.array.dtype);
    return {static_cast<const char*>(out.array.data) + (out.first + sample * out.sample) * element,
            c_.M * out.channel * element};
  }

  int64_t row(int64_t tile) const { return tile % row_tiles_ * row_tile_; }
  int64_t rows(int64_t tile) const { return std::min(row_tile_, c_.rows - row(tile)); }

  void pack_weights() {
    float* out = weights_.data();
    for (int64_t m = 0; m < c_.M; m += registers_.columns) {
      const int64_t n = std::min(registers_.columns, c_.M - m);
      for (const int64_t step : c_.weight_step) {
        const float* from = c_.weights + m * c_.weight_row + step;
        for (int64_t i = 0; i < n; ++i) out[i] = from[i * c_.weight_row];
        std::fill(out + n, out + registers_.columns, 0.0f);
        out += registers_.columns;
      }
    }
  }

  void chain(const Planes& planes, int64_t tile, const KPlan::Range& range, Dtype accumulate,
             const std::array<Bytes, 2>& soon, bool adds, float* out) const {
    // A panel is part of one row. Of short rows all go at once.
    const int64_t together = whole_rows_ ? rows(tile) : 1;
    const RowPanels panels(together * c_.cols, std::min(c_.cols, registers_.rows), whole_rows_ ? c_.cols : 1);
    ChainBlock block{panels, 0, panels.count};
    block.columns = c_.M;
    block.depth = range.end - range.begin;
    block.accumulate = accumulate;
    block.left_layout = LeftLayout::kGathered;
    block.left_run = ChainBlock::kWholePanel;
    block.left_row = position_.data();
    block.left_offset = c_.tap.data() + range.begin;
    block.right = weights_.data() + range.begin * registers_.columns;
    block.right_step = registers_.columns;
    block.right_group = c_.K() * registers_.columns;
    block.adds = adds;
    block.ld = stride_;
    const float* image = planes.data() + tile / row_tiles_ * layout_.sample() + row(tile) * layout_.width;
    for (int64_t r = 0; r < rows(tile); r += together) {
      // Each row asks for its share of the next image, and of where the outputs go.
      for (size_t i = 0; i < soon.size(); ++i) {
        const auto& [data, size] = soon[i];
        if (data) block.soon[i] = reinterpret_cast<const float*>(data + size * (row(tile) + r) / c_.rows);
      }
      block.left = image + r * layout_.width;
      block.out = out + r * c_.cols * stride_;
      run_chain_block(block);
    }
  }

  void finish(int64_t sample, int64_t tile, const float* sums) const {
    const ImageOut& out = c_.out;
    const int64_t positions = rows(tile) * c_.cols;
    sample += tile / row_tiles_;
    if (out.array.dtype == Dtype::kF32 && !out.bias && out.col == 1 && out.row == c_.cols) {
      float* y = static_cast<float*>(out.array.data) + out.first + sample * out.sample + row(tile) * out.row;
      copy_transposed(sums, stride_, c_.M, positions, y, out.channel);
    } else {
      const Scratch turned(c_.M * positions);
      copy_transposed(sums, stride_, c_.M, positions, turned.data(), positions);
      for (int64_t m = 0; m < c_.M; ++m)
        store_rows(c_, sample, m, row(tile), rows(tile), c_.cols, turned.data() + m * positions);
    }
    stored_.add(rows(tile), sample, 0, 0, c_.M);
  }

  const Correlation& c_;
  const PlaneLayout& layout_;
  RegisterBlock registers_;
  bool whole_rows_;
  int64_t stride_;  // of a position in a tile
  int64_t row_tile_, row_tiles_;
  std::vector<int64_t> position_;  // of each output of a tile, in a plane
  StoredRows<float> stored_;
  Scratch weights_;
};

}  // namespace

double work_by_channels(const Correlation& c) {
  const int64_t width = register_block(c.M).columns;
  return ceil_div(c.M, width) * width * std::max(c.cols, kLeastColumns);
}

bool channels_fill_vectors(const Correlation& c) {
  return work_by_channels(c) < kCrossing * work_by_positions(c);
}

void correlate_by_channels(const char* kernel, const Correlation& c, const PlaneSource& source,
                           const KPlan& plan, const KFormats& formats) {
  const ChannelCorrelation correlation(c);
  for_few_samples(kernel, source, PlaneReads::kElements, [&](const Planes& planes, int64_t sample) {
    correlation.run(kernel, source, planes, sample, plan, formats);
  });
}

}  // namespace faultline
