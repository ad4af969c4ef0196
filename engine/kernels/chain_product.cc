#include "engine/kernels/chain_product.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"

namespace faultline {
namespace {

// A tile's rows of the left operand, kChainBlock deep, take half of the L2 cache. So do its sums where several ranges
// of k are joined by a tree: then tiles are narrow.
constexpr int64_t kTileColumns = 1024, kTreeRows = 240, kTreeColumns = 128;
int64_t most_rows() {
  static const int64_t rows =
      std::clamp<int64_t>(l2_cache_bytes() / 2 / (kChainBlock * sizeof(float)), 96, 480);
  return rows;
}
// An operand that so many outputs share is worth packing even if a kernel could read it where it lies.
constexpr int64_t kPackingPays = 384;
// More, where they are rows along k no further apart than a page.
constexpr int64_t kPackingRowsPays = 896, kNearRows = 1024;
// The largest right operand that is packed as a whole, before the tiles; else each packs what it reads.
constexpr int64_t kWholeElements = 1 << 23;
// Steps of k so far apart are pages apart, which slows a kernel down; those a multiple of it apart share few sets of the
// caches.
constexpr int64_t kNearStep = 512;
// A right operand up to this size is in the L2 cache when it is read again. One that fills a shared cache at most may be
// read from there by few rows.
constexpr int64_t kCachedElements = 1 << 18, kSharedElements = 1 << 22, kFewRows = 128;
// So few rows read it so seldom that copying it takes longer.
constexpr int64_t kFewestRows = 32;
// For so few outputs threads share k even if the results of all ranges are kept.
constexpr int64_t kFewOutputs = 4096;
// Multiply-adds that are worth a thread.
constexpr int64_t kWorkOfThread = 1 << 18;

// Packed panels and groups lie so many steps of k further apart than they are deep: else all of them share sets of
// the caches.
constexpr int64_t kApart = 3;

// One operand of a product: `size` outputs, each with K values.
struct Side {
  const float* data;
  int64_t size, stride, k_stride;
  const float* at(int64_t i, int64_t k) const { return data + i * stride + k * k_stride; }
};

// Shows rows [m, m_end), which are written, if columns [n, n_end) are all there are.
void show_rows(const ProductArgs& args, int64_t m, int64_t m_end, int64_t n, int64_t n_end) {
  if (!args.pieces || n != 0 || n_end != args.N || args.out_row_stride != args.N) return;
  args.pieces->written(args.first_element + m * args.N, args.first_element + m_end * args.N,
                       static_cast<const char*>(args.out) + m * args.N * size_bytes(args.out_dtype));
}

// The operand whose values are broadcast is the left one, here a or b: which, does not change a bit, but it
// decides what must be packed.
class ChainProduct {
 public:
  ChainProduct(const ProductArgs& args, const F32Matrix& a, const F32Matrix& b, const KPlan& plan)
      : args_(args),
        plan_(plan),
        formats_(k_formats(args.arithmetic, args.out_dtype)),
        left_{a.data, args.M, a.row_stride, a.col_stride},
        right_{b.data, args.N, b.col_stride, b.row_stride},
        swapped_(swap_if_cheaper()),
        sequence_(is_sequence(plan, formats_)),
        direct_(sequence_ && !swapped_ && args.out_dtype == Dtype::kF32 && args.K > 0),
        registers_(register_block(right_.size)),
        width_(registers_.columns),
        panels_(left_.size, registers_.rows) {
    cut();
    left_layout_ = layout_of_left();
    right_mode_ = stays_in_place(left_, right_)                               ? Right::kInPlace
                  : tiles_down_ > 1 && right_.size * args.K <= kWholeElements ? Right::kWhole
                                                                              : Right::kByTile;
  }

  void run() {
    const int64_t depth = args_.K + kApart * plan_.ranges();
    const Scratch whole(right_mode_ == Right::kWhole ? ceil_div(right_.size, width_) * width_ * depth : 0);
    whole_right_ = whole.data();
    if (right_mode_ == Right::kWhole) pack_whole_right();
    const int64_t tiles = tiles_down_ * tiles_across_;
    if (sequence_ && (tiles >= threads_ || plan_.ranges() == 1)) return run_sequence(tiles);
    TiledSum sum{"product", &plan_, formats_};
    sum.tiles = tiles;
    sum.tile_elements = std::min(left_.size, tile_panels_ * registers_.rows) * tile_columns_;
    sum.work = work();
    sum.can_add = true;
    sum.chain = [&](int64_t i, const KPlan::Range& range, bool adds, float* out) {
      chain(tile(i), range, out, tile_columns_, adds, true);
    };
    sum.finish = [&](int64_t i, float* values) { finish(tile(i), values, tile_columns_); };
    run_tiled_sum(sum);
  }

 private:
  enum class Right : uint8_t { kInPlace, kByTile, kWhole };
  struct Tile {
    int64_t first_panel, last_panel, begin, end;  // panels of rows, and columns
  };

  int64_t work() const { return args_.M * args_.N * args_.K; }

  // Whether a kernel can read the left operand where it lies.
  static bool can_stay(const Side& left) {
    return left.k_stride == 1 || (left.stride == 1 && left.k_stride <= kNearStep);
  }
  // Whether the right operand stays where it lies. One group of columns is read from the first to the last; of several,
  // each reads parts of lines far apart: while one is multiplied, the next one is asked for, which is worth more than a
  // copy, if there is room for both in the L2 cache.
  bool stays_in_place(const Side& left, const Side& right) const {
    if (right.stride != 1) return false;
    const int64_t elements = right.size * args_.K;
    const bool one_group = right.size <= register_block(right.size).columns;
    if (!one_group && elements > kCachedElements && right.k_stride % kNearStep != 0) return true;
    if (left.size >= kPackingPays) return false;
    if (one_group) return true;
    return (right.k_stride <= kNearStep && (elements <= kCachedElements || left.size <= kFewestRows)) ||
           (left.size <= kFewRows && elements <= kSharedElements);
  }

  // Cycles for each k, roughly: two vectors of multiply-adds each, and what moving a value costs.
  static double multiply_cost(int64_t rows, int64_t columns) {
    const int64_t lanes = register_block(1).columns;
    return rows * ceil_div(columns, lanes) * lanes / 32.0;
  }
  static double pack_left_cost(const Side& left) { return can_stay(left) ? 0 : 0.5; }
  double pack_right_cost(const Side& left, const Side& right) const {
    return right.stride != 1 ? 0.5 : stays_in_place(left, right) ? 0 : 0.2;
  }
  double cost(const Side& left, const Side& right) const {
    return multiply_cost(left.size, right.size) + pack_left_cost(left) * left.size +
           pack_right_cost(left, right) * right.size;
  }

  // The same of the thread that has most to do. What another thread has packed comes from its cache.
  double cost_of_cut(int64_t tiles_down, int64_t tiles_across) const {
    constexpr double kFromOther = 1;
    const int64_t rows = std::min(ceil_div(panels_.count, tiles_down) * registers_.rows, left_.size);
    const int64_t groups = ceil_div(right_.size, width_);
    const int64_t columns = std::min(ceil_div(groups, tiles_across) * width_, right_.size);
    const int64_t tiles = ceil_div(tiles_down * tiles_across, threads_);
    const double pack_right = pack_right_cost(left_, right_);
    const double right = tiles_down == 1  ? tiles * columns * pack_right
                         : pack_right > 0 ? right_.size * (pack_right / threads_ + kFromOther)
                                          : 0;
    return tiles * (multiply_cost(rows, columns) + rows * pack_left_cost(left_)) + right;
  }

  // A result the other way round is turned at the end.
  bool swap_if_cheaper() {
    const double turning = 1.5 * args_.M * args_.N / std::max<int64_t>(args_.K, 1);
    if (cost(left_, right_) <= cost(right_, left_) + turning) return false;
    std::swap(left_, right_);
    return true;
  }

  // Whether threads share k, not outputs. Each then reads its part of both operands alone; what it takes to add its
  // results is little if they are few, or those of a sequence, of which the caches hold some until they are added.
  bool shares_k() const {
    const int64_t outputs = args_.M * args_.N;
    if (plan_.ranges() < kRangesOfThread * threads_) return false;
    if (outputs <= kFewOutputs) return true;
    return sequence_ && threads_ > 1 && left_.size <= most_rows() && right_.size <= kTileColumns &&
           results_in_cache(outputs) >= kRangesOfThread;
  }

  // Tiles as equal as can be, as many for each thread.
  void cut() {
    const int64_t groups = ceil_div(right_.size, width_);
    threads_ = std::clamp<int64_t>(work() / kWorkOfThread, 1, threads());
    if (shares_k()) {
      tiles_down_ = tiles_across_ = 1;
    } else {
      tiles_across_ = ceil_div(right_.size, sequence_ ? kTileColumns : kTreeColumns);
      tiles_down_ = ceil_div(left_.size, sequence_ ? most_rows() : kTreeRows);
      if (tiles_down_ * tiles_across_ % threads_ != 0) {
        const int64_t down = ceil_div(tiles_down_, threads_) * threads_;
        const int64_t across = ceil_div(tiles_across_, threads_) * threads_;
        if (cost_of_cut(down, tiles_across_) <= cost_of_cut(tiles_down_, across))
          tiles_down_ = down;
        else
          tiles_across_ = across;
      }
    }
    tile_panels_ = ceil_div(panels_.count, tiles_down_);
    tiles_down_ = ceil_div(panels_.count, tile_panels_);
    tile_columns_ = ceil_div(groups, tiles_across_) * width_;
    tiles_across_ = ceil_div(right_.size, tile_columns_);
  }

  LeftLayout layout_of_left() const {
    // Where the right operand comes from far away, a group of it is better read for all panels at once; but not if the
    // left one had to be transposed for that.
    const bool far = right_.size * args_.K > kCachedElements && stays_in_place(left_, right_);
    const bool near_rows = left_.k_stride == 1 && left_.stride <= kNearRows;
    const int64_t many = near_rows ? kPackingRowsPays : kPackingPays;
    const bool pays = (tile_columns_ >= many || (far && left_.k_stride != 1)) && panels_.count > 1;
    if (formats_.accumulate != Dtype::kF32) return LeftLayout::kPanels;
    if (pays || !can_stay(left_)) return LeftLayout::kPanels;
    return left_.k_stride == 1 ? LeftLayout::kAlongK : LeftLayout::kAdjacent;
  }

  Tile tile(int64_t i) const {
    const int64_t panel = i / tiles_across_ * tile_panels_, begin = i % tiles_across_ * tile_columns_;
    return {panel, std::min(panel + tile_panels_, panels_.count), begin,
            std::min(begin + tile_columns_, right_.size)};
  }

  // Tile by tile, range after range, each added to the sums: in the output itself, where that is f32.
  void run_sequence(int64_t tiles) const {
    parallel_for("product", tiles, thread_grain(tiles, work()), [&](int64_t first, int64_t last) {
      const Scratch values(direct_ ? 0
                                   : std::min(left_.size, tile_panels_ * registers_.rows) * tile_columns_);
      for (int64_t i = first; i < last; ++i) {
        const Tile t = tile(i);
        const int64_t ld = direct_ ? args_.out_row_stride : tile_columns_;
        float* sums = direct_ ? static_cast<float*>(args_.out) + panels_.begin(t.first_panel) * ld + t.begin
                              : values.data();
        sum_ranges(
            plan_, rows(t) * ld, formats_,
            [&](const KPlan::Range& range, float* out) { chain(t, range, out, ld, false, !direct_); }, sums,
            [&](const KPlan::Range& range, float* out) { chain(t, range, out, ld, true, !direct_); });
        finish(t, sums, ld);
      }
    });
  }

  void pack_whole_right() {
    const std::vector<KPlan::Range> ranges = plan_.in_order();
    for (const KPlan::Range& range : ranges) begins_.push_back(range.begin);
    std::sort(begins_.begin(), begins_.end());
    const int64_t groups = ceil_div(right_.size, width_), parts = std::min<int64_t>(groups, 2 * threads_);
    const int64_t count = static_cast<int64_t>(ranges.size()) * parts;
    const int64_t grain = thread_grain(count, kMoveWork * right_.size * args_.K);
    parallel_for("product.pack", count, grain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const KPlan::Range& range = ranges[i / parts];
        const int64_t begin = i % parts * groups / parts * width_;
        const int64_t end = std::min((i % parts + 1) * groups / parts * width_, right_.size);
        pack_right(range, begin, end, whole_right(range, begin));
      }
    });
  }
  float* whole_right(const KPlan::Range& k, int64_t n) const {
    const int64_t before = std::lower_bound(begins_.begin(), begins_.end(), k.begin) - begins_.begin();
    return whole_right_ + (k.begin + kApart * before) * ceil_div(right_.size, width_) * width_ +
           n * (k.end - k.begin + kApart);
  }

  // Columns [begin, end) in groups as wide as the registers.
  void pack_right(const KPlan::Range& k, int64_t begin, int64_t end, float* out) const {
    const int64_t depth = k.end - k.begin;
    pack_groups({right_.at(begin, k.begin), right_.k_stride, right_.stride}, depth, end - begin, width_,
                (depth + kApart) * width_, out);
  }

  int64_t rows(const Tile& t) const { return panels_.begin(t.last_panel) - panels_.begin(t.first_panel); }

  // One range of a tile.
  void chain(const Tile& tile, const KPlan::Range& range, float* out, int64_t ld, bool adds,
             bool whole_vectors) const {
    const int64_t depth = range.end - range.begin;
    const bool packs_left = left_layout_ == LeftLayout::kPanels;
    const Scratch left(packs_left ? rows(tile) * (depth + kApart) : 0);
    const int64_t packed_columns = ceil_div(tile.end - tile.begin, width_) * width_;
    const Scratch right(right_mode_ == Right::kByTile ? packed_columns * (depth + kApart) : 0);
    ChainBlock block{panels_, tile.first_panel, tile.last_panel};
    block.accumulate = formats_.accumulate;
    block.depth = depth;
    block.left_layout = left_layout_;
    block.left_depth = depth + kApart;
    block.left_step = left_layout_ == LeftLayout::kAlongK ? left_.stride : left_.k_stride;
    block.left = packs_left ? left.data() : left_.at(0, range.begin);
    if (packs_left) pack_left(tile, range, left.data());
    block.columns = tile.end - tile.begin;
    block.right_step = width_;
    block.right_group = (depth + kApart) * width_;
    block.adds = adds;
    block.whole_vectors = whole_vectors;
    block.out = out;
    block.ld = ld;
    if (right_mode_ == Right::kInPlace) return run_in_place(block, tile, range);
    block.right = right_mode_ == Right::kWhole ? whole_right(range, tile.begin) : right.data();
    if (right_mode_ == Right::kByTile) pack_right(range, tile.begin, tile.end, right.data());
    run_chain_block(block);
  }

  void pack_left(const Tile& tile, const KPlan::Range& k, float* out) const {
    const int64_t depth = k.end - k.begin, first = panels_.begin(tile.first_panel);
    const F32Matrix matrix{left_.at(first, k.begin), left_.k_stride, left_.stride};
    pack_panels(matrix, depth, panels_, tile.first_panel, tile.last_panel, depth + kApart, out);
  }

  // The right operand where it lies. Its last columns are packed where whole vectors would reach beyond its memory.
  void run_in_place(ChainBlock block, const Tile& tile, const KPlan::Range& range) const {
    const int64_t last = right_.size / width_ * width_;
    const bool inside = tile.end <= last || right_.at(last + width_ - 1, range.end - 1) <=
                                                right_.at(right_.size - 1, args_.K - 1);
    const int64_t end = inside ? tile.end : last;
    if (end > tile.begin) {
      block.columns = end - tile.begin;
      block.right = right_.at(tile.begin, range.begin);
      block.right_step = right_.k_stride;
      block.right_group = width_;
      run_chain_block(block);
    }
    if (inside) return;
    const Scratch packed(width_ * (block.depth + kApart));
    pack_right(range, end, tile.end, packed.data());
    block.columns = tile.end - end;
    block.right = packed.data();
    block.right_step = width_;
    block.out += end - tile.begin;
    run_chain_block(block);
  }

  void finish(const Tile& tile, float* values, int64_t ld) const {
    const int64_t first = panels_.begin(tile.first_panel), last = panels_.begin(tile.last_panel);
    if (!swapped_) return finish_product(args_, first, last, tile.begin, tile.end, values, ld);
    const int64_t rows = last - first, columns = tile.end - tile.begin;
    if (args_.out_dtype == Dtype::kF32 && !args_.bias_m && !args_.bias_n) {
      float* out = static_cast<float*>(args_.out) + tile.begin * args_.out_row_stride + first;
      copy_transposed(values, ld, columns, rows, out, args_.out_row_stride);
      return show_rows(args_, tile.begin, tile.end, first, last);
    }
    const Scratch turned(rows * columns);
    copy_transposed(values, ld, columns, rows, turned.data(), rows);
    finish_product(args_, tile.begin, tile.end, first, last, turned.data(), rows);
  }

  const ProductArgs& args_;
  const KPlan& plan_;
  KFormats formats_;
  Side left_, right_;
  bool swapped_, sequence_, direct_;
  RegisterBlock registers_;
  int64_t width_;
  RowPanels panels_;
  LeftLayout left_layout_;
  Right right_mode_;
  int64_t threads_, tiles_down_, tiles_across_, tile_panels_, tile_columns_;
  float* whole_right_ = nullptr;
  std::vector<int64_t> begins_;  // of the ranges, rising
};

}  // namespace

void finish_product(const ProductArgs& args, int64_t m, int64_t m_end, int64_t n, int64_t n_end, float* sums,
                    int64_t stride) {
  for (int64_t i = 0; i < m_end - m; ++i) {
    float* row = sums + i * stride;
    if (args.bias_m != nullptr) {
      for (int64_t j = 0; j < n_end - n; ++j) row[j] += args.bias_m[m + i];
    }
    if (args.bias_n != nullptr) {
      for (int64_t j = 0; j < n_end - n; ++j) row[j] += args.bias_n[n + j];
    }
  }
  char* out = static_cast<char*>(args.out) + (m * args.out_row_stride + n) * size_bytes(args.out_dtype);
  if (static_cast<void*>(sums) != out) {
    convert_rows({sums, Dtype::kF32, stride}, {out, args.out_dtype, args.out_row_stride}, m_end - m,
                 n_end - n);
  }
  show_rows(args, m, m_end, n, n_end);
}

void chain_product(const ProductArgs& args, const F32Matrix& a, const F32Matrix& b, const KPlan& plan) {
  ChainProduct(args, a, b, plan).run();
}

}  // namespace faultline
