#include "engine/kernels/weight_gradient.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"
#include "engine/kernels/unit_weight_gradient.h"

namespace faultline {
namespace {

constexpr int64_t kSamplesPerLeaf = 8;
// Groups of columns that lie so many steps of k further apart than they are deep do not share sets of the caches.
constexpr int64_t kApart = 3;

// On register blocks of chains, as dw = dy [OC, positions] * image [positions, taps]. Both are packed range by
// range of k: dy in panels of channels, the image in groups of taps, which the kernel's rows make pieces of. A
// tile is some groups of taps, with all channels.
class ChainGradient {
 public:
  explicit ChainGradient(const WeightGradient& g)
      : g_(g),
        offsets_(g),
        positions_(offsets_.position.size()),
        taps_(offsets_.tap.size()),
        K_(g.shape.N * positions_),
        registers_(register_block(taps_)),
        panels_(g.shape.OC, registers_.rows),
        groups_(ceil_div(taps_, registers_.columns)) {
    const int64_t group_bytes = kChainBlock * registers_.columns * sizeof(float);
    const int64_t most = std::max<int64_t>(l2_cache_bytes() / 2 / group_bytes, 1);
    tiles_ = std::max(ceil_div(groups_, most), std::min<int64_t>(groups_, threads()));
    tile_groups_ = ceil_div(groups_, tiles_);
    tiles_ = ceil_div(groups_, tile_groups_);
  }

  void run(const KPlan& plan, const KFormats& formats) const {
    TiledSum sum{"conv2d_dw", &plan, formats};
    sum.tiles = tiles_;
    sum.tile_elements = g_.shape.OC * ld();
    sum.work = taps_ * g_.shape.OC * K_;
    sum.chain = [&](int64_t tile, const KPlan::Range& range, float* out) {
      chain(tile, range, formats.accumulate, out);
    };
    sum.finish = [&](int64_t tile, float* values) { finish(tile, values); };
    run_tiled_sum(sum);
  }

 private:
  // Taps side by side in the image, `count` of them: at `to` in the packed groups for each k.
  struct Piece {
    int64_t tap, to, count;
  };
  static constexpr int64_t kPiece = 8;

  int64_t ld() const { return tile_groups_ * registers_.columns; }
  int64_t first_tap(int64_t tile) const { return tile * ld(); }
  int64_t tap_count(int64_t tile) const { return std::min(ld(), taps_ - first_tap(tile)); }

  std::vector<Piece> pieces(int64_t tile, int64_t group_size) const {
    const int64_t width = registers_.columns, first = first_tap(tile);
    std::vector<Piece> pieces;
    for (int64_t i = 0; i < tap_count(tile); ++i) {
      const int64_t tap = offsets_.tap[first + i];
      if (!pieces.empty() && i % width != 0) {
        Piece& last = pieces.back();
        if (tap == last.tap + last.count && last.count < kPiece) {
          ++last.count;
          continue;
        }
      }
      pieces.push_back({tap, i / width * group_size + i % width, 1});
    }
    return pieces;
  }

  // Calls body(first, n, sample, position) for the parts of a range that lie in one sample; `first` counts from
  // the range's begin.
  template <class Body>
  void for_samples(const KPlan::Range& range, const Body& body) const {
    for (int64_t k = range.begin, n = 0; k < range.end; k += n) {
      n = std::min(positions_ - k % positions_, range.end - k);
      body(k - range.begin, n, k / positions_, k % positions_);
    }
  }

  // Pieces are moved whole: what is too much is overwritten by the next one, of the next k at last.
  void pack_image(int64_t tile, const KPlan::Range& range, int64_t group_size, float* out) const {
    const int64_t width = registers_.columns, last = (tap_count(tile) - 1) / width;
    std::fill_n(out + last * group_size, group_size, 0.0f);  // behind the last tap
    const std::vector<Piece> all = pieces(tile, group_size);
    for_samples(range, [&](int64_t first, int64_t n, int64_t sample, int64_t position) {
      const float* image = g_.image.data() + sample * g_.image.layout().sample();
      for (int64_t i = 0; i < n; ++i) {
        const float* from = image + offsets_.position[position + i];
        float* to = out + (first + i) * width;
        for (const Piece& piece : all) std::memcpy(to + piece.to, from + piece.tap, kPiece * sizeof(float));
      }
    });
  }

  void pack_gradient(const KPlan::Range& range, int64_t depth, float* out) const {
    for_samples(range, [&](int64_t first, int64_t n, int64_t sample, int64_t position) {
      const float* dy = g_.dy.data + sample * g_.shape.OC * g_.dy.row_stride + position * g_.dy.col_stride;
      for (int64_t panel = 0; panel < panels_.count; ++panel) {
        const int64_t begin = panels_.begin(panel), rows = panels_.rows(panel);
        pack_panel({dy + begin * g_.dy.row_stride, g_.dy.col_stride, g_.dy.row_stride}, n, rows, rows,
                   out + begin * depth + first * rows);
      }
    });
  }

  void chain(int64_t tile, const KPlan::Range& range, Dtype accumulate, float* out) const {
    const int64_t depth = range.end - range.begin, apart = depth + kApart, width = registers_.columns;
    const Scratch left(g_.shape.OC * apart), right(ld() * apart);
    pack_gradient(range, apart, left.data());
    pack_image(tile, range, apart * width, right.data());
    ChainBlock block{panels_, 0, panels_.count};
    block.columns = tap_count(tile);
    block.depth = depth;
    block.accumulate = accumulate;
    block.left = left.data();
    block.left_depth = apart;
    block.right = right.data();
    block.right_step = width;
    block.right_group = apart * width;
    block.out = out;
    block.ld = ld();
    run_chain_block(block);
  }

  void finish(int64_t tile, const float* values) const {
    const Dtype dtype = g_.dw.dtype;
    char* out = static_cast<char*>(g_.dw.data) + first_tap(tile) * size_bytes(dtype);
    convert_rows({values, Dtype::kF32, ld()}, {out, dtype, taps_}, g_.shape.OC, tap_count(tile));
  }

  const WeightGradient& g_;
  ImageOffsets offsets_;
  int64_t positions_, taps_, K_;
  RegisterBlock registers_;
  RowPanels panels_;
  int64_t groups_, tiles_, tile_groups_;
};

}  // namespace

void weight_gradient(const WeightGradient& g, const Unit& unit, Dtype input, const Arithmetic& arithmetic) {
  const int64_t positions = g.shape.OH() * g.shape.OW();
  const KPlan plan = plan_k(g.shape.N * positions, kSamplesPerLeaf * positions, true, arithmetic);
  const KFormats formats = k_formats(arithmetic, g.dw.dtype);
  if (arithmetic.unit == kFmaUnit)
    ChainGradient(g).run(plan, formats);
  else
    weight_gradient_on_unit(g, unit, input, plan, formats);
}

}  // namespace faultline
