#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/correlation.h"
#include "engine/kernels/packing.h"
#include "engine/kernels/scratch.h"

namespace faultline {
namespace {

// So many samples go at once: as many as four vectors of 16 hold.
constexpr int64_t kSamples = 64;
constexpr int64_t kTileElements = 1 << 16;
// The images are turned, so that samples lie side by side, and the outputs are turned back.
constexpr int64_t kTurnWork = 8;
// Turned images come from the second cache: less of a gain would be lost there.
constexpr double kGain = 1.25;

// The taps of one channel, and which of them an output reads.
class Taps {
 public:
  Taps(const Correlation& c, const PlaneLayout& source) : source_(source), count_(c.K() / source.C) {
    for (int64_t i = 0; i < count_; ++i) {
      row_.push_back(c.tap[i] / source.width + source.origin_h);
      col_.push_back(c.tap[i] % source.width + source.origin_w);
    }
  }

  int64_t count() const { return count_; }

  // Those of output (row, col) that read the image and not its padding.
  void find(int64_t row, int64_t col, std::vector<int64_t>& taps) const {
    taps.clear();
    for (int64_t i = 0; i < count_; ++i) {
      if (within(row_[i] + row, source_.H) && within(col_[i] + col, source_.W)) taps.push_back(i);
    }
  }

  // How many there are of all outputs.
  int64_t total(int64_t rows, int64_t cols) const {
    int64_t sum = 0;
    for (int64_t i = 0; i < count_; ++i)
      sum += hits(row_[i], source_.H, rows) * hits(col_[i], source_.W, cols);
    return sum;
  }

  // Where tap i of an output reads a dense image of one channel.
  int64_t offset(int64_t i, int64_t row, int64_t col) const {
    return (row_[i] + row) * source_.W + col_[i] + col;
  }

 private:
  static bool within(int64_t i, int64_t n) { return i >= 0 && i < n; }
  // Of `outputs` on one axis, those whose tap at `first` for the first of them is within [0, n).
  static int64_t hits(int64_t first, int64_t n, int64_t outputs) {
    return std::max<int64_t>(0, std::min(outputs, n - first) - std::max<int64_t>(0, -first));
  }

  const PlaneLayout& source_;
  int64_t count_;
  std::vector<int64_t> row_, col_;  // of the image, read for output (0, 0)
};

PlaneSource without_padding(PlaneSource source) {
  PlaneLayout& l = source.layout;
  l = {l.N, l.C, l.H, l.W, 0, 0, 1, 1, l.H, l.W};
  return source;
}

// On register blocks of chains, with samples in the vectors: weights are broadcast, images are interleaved. A tile is some rows of outputs of some samples. No piece is shown: all may have to be computed otherwise.
class SampleCorrelation {
 public:
  SampleCorrelation(const Correlation& c, const PlaneSource& source)
      : c_(c),
        source_(source.layout),
        taps_(c, source.layout),
        registers_(register_block(kSamples)),
        panels_(c.M, registers_.rows),
        row_tile_(
            std::clamp<int64_t>(kTileElements / (c.M * c.cols * kSamples), 1, ceil_div(c.rows, threads()))),
        row_tiles_(ceil_div(c.rows, row_tile_)),
        weights_(c.M * c.K()) {
    row_tile_ = ceil_div(c.rows, row_tiles_);
    for (int64_t m = 0; m < c.M; ++m) panel_row_.push_back(m);
    for (int64_t k = 0; k < c.K(); ++k) {
      for (int64_t m = 0; m < c.M; ++m)
        weights_.data()[k * c.M + m] = c.weights[m * c.weight_row + c.weight_step[k]];
    }
  }

  bool weights_are_finite() const {
    return std::all_of(weights_.data(), weights_.data() + c_.M * c_.K(),
                       [](float w) { return std::isfinite(w); });
  }

  // Of the samples of `source`, which are those from `sample` on. Returns whether none of the sums is -0.
  bool run(const char* kernel, const PlaneSource& source, int64_t sample, const KPlan& plan,
           const KFormats& formats) const {
    const int64_t count = source.layout.N;
    const InterleavedPlanes images(source, count);
    std::atomic<bool> found_negative_zero = false;
    TiledSum sum{kernel, &plan, formats};
    sum.tiles = row_tiles_;
    sum.tile_elements = c_.M * row_tile_ * c_.cols * kSamples;
    sum.work = c_.M * c_.rows * c_.cols * c_.K() * count;
    sum.can_add = true;
    sum.chain = [&](int64_t tile, const KPlan::Range& range, bool adds, float* out) {
      chain(images, count, tile, range, formats.accumulate, adds, out);
    };
    sum.finish = [&](int64_t tile, float* sums) {
      if (has_negative_zero(c_.M * positions(tile), count, sums)) found_negative_zero = true;
      finish(tile, sample, count, sums);
    };
    run_tiled_sum(sum);
    return !found_negative_zero;
  }

 private:
  int64_t row(int64_t tile) const { return tile * row_tile_; }
  int64_t rows(int64_t tile) const { return std::min(row_tile_, c_.rows - row(tile)); }
  int64_t positions(int64_t tile) const { return rows(tile) * c_.cols; }

  void chain(const InterleavedPlanes& images, int64_t count, int64_t tile, const KPlan::Range& range,
             Dtype accumulate, bool adds, float* out) const {
    ChainBlock block{panels_, 0, panels_.count};
    block.columns = count;
    block.accumulate = accumulate;
    block.left_layout = LeftLayout::kGathered;
    block.left_run = ChainBlock::kWholePanel;
    block.left = weights_.data();
    block.left_row = panel_row_.data();
    block.right_group = registers_.columns;
    block.adds = adds;
    block.ld = positions(tile) * kSamples;
    std::vector<int64_t> taps, taps_before, weight, element;
    for (int64_t i = 0; i < positions(tile); ++i) {
      const int64_t r = row(tile) + i / c_.cols, col = i % c_.cols;
      taps_.find(r, col, taps);
      const int64_t first = taps.empty() ? 0 : taps_.offset(taps.front(), r, col);
      if (i == 0 || taps != taps_before) {
        list_terms(taps, range, count, weight, element);
        taps_before = taps;
      }
      block.depth = weight.size();
      block.left_offset = weight.data();
      block.right_offset = element.data();
      block.right = images.data() + first * count;
      block.out = out + i * kSamples;
      run_chain_block(block);
    }
  }

  // Lists where the terms of a range lie that `taps` read in all channels: weights from the first of them, elements of
  // `samples` images from what the first tap reads in the first channel.
  void list_terms(const std::vector<int64_t>& taps, const KPlan::Range& range, int64_t samples,
                  std::vector<int64_t>& weight, std::vector<int64_t>& element) const {
    const int64_t count = taps_.count(), n = taps.size();
    std::vector<int64_t> first_weight(n), first_element(n);
    for (int64_t i = 0; i < n; ++i) {
      first_weight[i] = taps[i] * c_.M;
      first_element[i] = (taps_.offset(taps[i], 0, 0) - taps_.offset(taps[0], 0, 0)) * samples;
    }
    weight.resize(ceil_div(range.end, count) * n);
    element.resize(weight.size());
    int64_t terms = 0;
    for (int64_t channel = range.begin / count; channel * count < range.end; ++channel) {
      const int64_t k = channel * count, weights = k * c_.M,
                    image = channel * source_.H * source_.W * samples;
      const auto within = [&](int64_t tap) { return k + tap >= range.begin && k + tap < range.end; };
      int64_t first = 0, last = n;
      while (first < last && !within(taps[first])) ++first;
      while (first < last && !within(taps[last - 1])) --last;
      for (int64_t i = first; i < last; ++i, ++terms) {
        weight[terms] = weights + first_weight[i];
        element[terms] = image + first_element[i];
      }
    }
    weight.resize(terms);
    element.resize(terms);
  }

  static bool has_negative_zero(int64_t rows, int64_t count, const float* sums) {
    int64_t found = 0;
    for (int64_t i = 0; i < rows; ++i, sums += kSamples) {
      for (int64_t j = 0; j < count; ++j) found += std::bit_cast<uint32_t>(sums[j]) == 0x80000000u;
    }
    return found > 0;
  }

  void finish(int64_t tile, int64_t sample, int64_t count, const float* sums) const {
    const ImageOut& out = c_.out;
    const int64_t n = positions(tile);
    const bool dense = out.array.dtype == Dtype::kF32 && !out.bias && out.col == 1 && out.row == c_.cols;
    const Scratch turned(dense ? 0 : count * n);
    for (int64_t m = 0; m < c_.M; ++m) {
      const float* channel = sums + m * n * kSamples;
      if (dense) {
        float* const to = static_cast<float*>(out.array.data) + out.first + sample * out.sample +
                          m * out.channel + row(tile) * out.row;
        copy_transposed(channel, kSamples, count, n, to, out.sample);
        continue;
      }
      copy_transposed(channel, kSamples, count, n, turned.data(), n);
      for (int64_t i = 0; i < count; ++i)
        store_rows(c_, sample + i, m, row(tile), rows(tile), c_.cols, turned.data() + i * n);
    }
  }

  const Correlation& c_;
  const PlaneLayout& source_;
  Taps taps_;
  RegisterBlock registers_;
  RowPanels panels_;
  int64_t row_tile_, row_tiles_;
  std::vector<int64_t> panel_row_;
  Scratch weights_;  // [K, M]
};

}  // namespace

bool samples_fill_vectors(const Correlation& c, const PlaneSource& source) {
  const PlaneLayout& l = source.layout;
  if (l.stride_h != 1 || l.stride_w != 1 || l.N < kSamples) return false;
  const double terms = l.C * Taps(c, l).total(c.rows, c.cols);
  const double turned = l.C * l.H * l.W + c.M * c.rows * c.cols;
  const double by_samples = ceil_div(l.N, kSamples) * kSamples * (c.M * terms + kTurnWork * turned);
  return kGain * by_samples < l.N * c.rows * c.K() * std::min(work_by_channels(c), work_by_positions(c));
}

bool correlate_by_samples(const char* kernel, const Correlation& c, const PlaneSource& source,
                          const KPlan& plan, const KFormats& formats) {
  const SampleCorrelation correlation(c, source);
  if (!correlation.weights_are_finite()) return false;
  for (int64_t first = 0; first < source.layout.N; first += kSamples) {
    const int64_t count = std::min(kSamples, source.layout.N - first);
    if (!correlation.run(kernel, without_padding(source.samples(first, count)), first, plan, formats))
      return false;
  }
  return true;
}

}  // namespace faultline
