#include "engine/kernels/weight_gradient.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"
#include "engine/kernels/unit_weight_gradient.h"

namespace faultline {
namespace {

constexpr int64_t kTileElements = 1 << 16, kPanelsPerPacking = 16, kSamplesPerLeaf = 8;

// The plan of the first half of k, if the sum of the second half is made in the same way and added to it at the end.
std::optional<KPlan> first_half(const KPlan& plan, int64_t k) {
  const size_t leaves = plan.leaves.size() / 2;
  if (plan.join != KPlan::Join::kTree || leaves == 0 || !std::has_single_bit(plan.leaves.size())) return {};
  KPlan half;
  half.leaves.assign(plan.leaves.begin(), plan.leaves.begin() + leaves);
  for (size_t i = 0; i < leaves; ++i) {
    const auto is_later = [&](const KPlan::Range& a, const KPlan::Range& b) {
      return b.begin == a.begin + k / 2 && b.end == a.end + k / 2;
    };
    if (!std::ranges::equal(half.leaves[i], plan.leaves[leaves + i], is_later)) return {};
  }
  return half;
}

// On register blocks of chains, as dw^T = image [taps, positions] * dy^T [positions, OC]: the image is
// broadcast from where it lies, dy is packed with its channels side by side. A tile is some panels of taps
// and one group of channels. Where half a vector holds all channels, the two halves of the samples go in turns, in the
// image as in dy.
class ChainGradient {
 public:
  ChainGradient(const WeightGradient& g, const KPlan& plan, const KFormats& formats)
      : g_(g),
        plan_(plan),
        formats_(formats),
        offsets_(g),
        positions_(offsets_.position.size()),
        K_(g.shape.N * positions_),
        widened_({g.dy.data, g.dy.dtype, positions_, 1}, g.shape.N * g.shape.OC, positions_, g.arithmetic),
        dy_(widened_.matrix()),
        half_(half_fits() ? first_half(plan, K_) : std::nullopt),
        sides_(half_ ? 2 : 1),
        registers_(register_block(sides_ * g.shape.OC)),
        panels_(offsets_.tap.size(), registers_.rows, run_of_taps()),
        groups_(ceil_div(sides_ * g.shape.OC, registers_.columns)),
        panel_tile_(panels_of_tile()),
        panel_tiles_(ceil_div(panels_.count, panel_tile_)) {
    for (int64_t& tap : offsets_.tap) tap *= sides_;
    for (int64_t& position : offsets_.position) position *= sides_;
    if (half_) put_in_turns();
  }

  void run() const {
    TiledSum sum{"conv2d_dw", half_ ? &*half_ : &plan_, formats_};
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
    int64_t group, columns, first_panel, last_panel;
  };

  Tile tile(int64_t i) const {
    const int64_t group = i / panel_tiles_, panel = i % panel_tiles_ * panel_tile_;
    return {group, std::min(registers_.columns, sides_ * g_.shape.OC - group * registers_.columns), panel,
            std::min(panel + panel_tile_, panels_.count)};
  }

  // Panels of a tile. Tiles are as many for each thread, if they are worth packing dy for each, and if leaves are not
  // as many for each.
  int64_t panels_of_tile() const {
    const int64_t most = std::max<int64_t>(1, kTileElements / registers_.columns / registers_.rows);
    int64_t tiles = ceil_div(panels_.count, most);
    const int64_t shared = ceil_div(ceil_div(tiles * groups_, threads()) * threads(), groups_);
    const int64_t leaves = plan_.leaves.size();
    const bool leaves_suffice = leaves % threads() == 0 && leaves >= 2 * threads();
    if (!leaves_suffice && panels_.count >= shared * kPanelsPerPacking) tiles = shared;
    return ceil_div(panels_.count, tiles);
  }

  bool half_fits() const {
    return 2 * g_.shape.OC <= register_block(1).columns && formats_.accumulate == Dtype::kF32;
  }

  // Element after element of the first half of the images, each followed by that of the second half.
  void put_in_turns() {
    const int64_t half = g_.shape.N / 2 * g_.image.layout().sample();
    in_turns_.emplace(2 * half);
    const float *const first = g_.image.data(), *const second = first + half;
    float* const out = in_turns_->data();
    parallel_for("conv2d.planes", half, thread_grain(half, kMoveWork * half),
                 [=](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) out[2 * i] = first[i], out[2 * i + 1] = second[i];
                 });
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
    const int64_t width = groups_ == 1 ? tile.columns : registers_.columns;
    const Scratch right(depth * width + registers_.columns);
    std::vector<int64_t> left_step(depth);
    for (int64_t k = 0, n = 0; k < depth; k += n) {
      const int64_t sample = (range.begin + k) / positions_, position = (range.begin + k) % positions_;
      n = std::min(positions_ - position, depth - k);
      const float* dy = dy_.data + (sample * g_.shape.OC + oc) * dy_.row_stride + position;
      float* const to = right.data() + k * width;
      if (half_)
        pack_column_pairs(dy, dy_.row_stride, K_ / 2 * g_.shape.OC, n, width, to);
      else
        pack_panel({dy, 1, dy_.row_stride}, n, tile.columns, width, to);
      const int64_t image = sides_ * sample * g_.image.layout().sample();
      for (int64_t i = 0; i < n; ++i) left_step[k + i] = image + offsets_.position[position + i];
    }
    ChainBlock block{panels_, tile.first_panel, tile.last_panel};
    block.soon = next_sample(tile, range.begin);
    block.columns = tile.columns;
    block.depth = depth;
    block.accumulate = formats_.accumulate;
    block.left = half_ ? in_turns_->data() : g_.image.data();
    block.left_layout = LeftLayout::kGathered;
    block.left_run = panels_.run;
    block.left_group = sides_;
    block.left_row = offsets_.tap.data();
    block.left_offset = left_step.data();
    block.right = right.data();
    block.right_step = width;
    block.right_group = depth * width;
    block.adds = adds;
    block.out = out;
    block.ld = registers_.columns;
    run_chain_block(block);
  }

  // What a tile reads of the sample after that of k in place of a range that begins there: a share of dy and of the image.
  std::array<const float*, 2> next_sample(const Tile& tile, int64_t k) const {
    const int64_t next = k / positions_ + 1, position = k % positions_;
    if (half_ || next == g_.shape.N) return {};
    const int64_t sample = g_.image.layout().sample(), oc = tile.group * registers_.columns;
    return {dy_.data + (next * g_.shape.OC + oc) * dy_.row_stride + position * tile.columns,
            g_.image.data() + next * sample + sample * position / positions_};
  }

  void finish(const Tile& tile, const float* values) const {
    const int64_t first = panels_.begin(tile.first_panel), taps = panels_.begin(tile.last_panel) - first;
    std::vector<float> line(taps);
    for (int64_t j = 0; j < tile.columns / sides_; ++j) {
      for (int64_t i = 0; i < taps; ++i) {
        const float* sides = values + i * registers_.columns + sides_ * j;
        line[i] = half_ ? sides[0] + sides[1] : sides[0];
      }
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
  WidenedOperand widened_;
  const F32Matrix& dy_;
  std::optional<KPlan> half_;  // of the samples, where it goes in turns with the other one
  int64_t sides_;              // that go in turns
  std::optional<Scratch> in_turns_;
  RegisterBlock registers_;
  RowPanels panels_;
  int64_t groups_, panel_tile_, panel_tiles_;
};

}  // namespace

void weight_gradient(const WeightGradient& g, const Unit& unit, Dtype input) {
  const int64_t positions = g.shape.OH() * g.shape.OW();
  const KPlan plan = plan_k(g.shape.N * positions, kSamplesPerLeaf * positions, true, g.arithmetic);
  const KFormats formats = k_formats(g.arithmetic, g.dw.dtype);
  if (g.arithmetic.unit == kFmaUnit)
    ChainGradient(g, plan, formats).run();
  else
    weight_gradient_on_unit(g, unit, input, plan, formats);
}

}  // namespace faultline
