#include "engine/kernels/product.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/packing.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"
#include "engine/kernels/tile_product.h"
#include "engine/kernels/unit_sum.h"

namespace faultline {
namespace {

// A tile's sums and the left operand's rows stay in the L2 cache, a group of columns kDepth deep in L1. Columns
// are packed a strip of groups at a time, and a left operand with so many columns against it.
constexpr int64_t kTileRows = 240, kTileColumns = 128, kDepth = 256, kStrip = 4, kPackingPays = 256;

void check(const char* op_name, const ProductArgs& args) {
  const auto is_16_or_32 = [](Dtype dtype) { return is_float(dtype) && size_bytes(dtype) <= 4; };
  if (args.a.dtype != args.b.dtype || !is_16_or_32(args.a.dtype) || !is_16_or_32(args.out_dtype)) {
    throw Error(ErrorCode::kDtype, op_name,
                std::string("a product of ") + name(args.a.dtype) + " and " + name(args.b.dtype) + " in " +
                    name(args.out_dtype) + ": operands share one of f32, f16, bf16, and so is the result");
  }
}

// Adds the biases to the finished sums of rows [m, m_end) and columns [n, n_end), which lie `stride` apart, and
// rounds them into the output.
void finish_tile(const ProductArgs& args, int64_t m, int64_t m_end, int64_t n, int64_t n_end, float* sums,
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
  convert_rows({sums, Dtype::kF32, stride}, {out, args.out_dtype, args.out_row_stride}, m_end - m, n_end - n);
}

// A quarter of n, so that there are tiles for some threads: enough to be worth packing, not more than caches.
int64_t tile_size(int64_t n) { return std::clamp<int64_t>((n + 127) / 128 * 32, 32, 256); }

// The driver of every other unit.
void unit_product(const ProductArgs& args, const Unit& unit, const KPlan& plan, const F32Matrix& a,
                  const F32Matrix& b) {
  const bool dense = a.col_stride == 1 && a.row_stride == args.K;
  const Scratch left(dense ? 0 : args.M * args.K);
  if (!dense) {
    const int64_t grain = thread_grain(args.M, kMoveWork * args.M * args.K);
    parallel_for("product.pack", args.M, grain, [&](int64_t first, int64_t last) {
      const F32Matrix rows{a.data + first * a.row_stride, a.row_stride, a.col_stride};
      copy_dense(rows, last - first, args.K, left.data() + first * args.K);
    });
  }
  const int64_t tile_rows = unit.dot ? tile_size(args.M) : args.M;
  const int64_t tile_columns = unit.dot ? tile_size(args.N) : args.N;
  run_unit_sum({"product", unit, plan, k_formats(args.arithmetic, args.out_dtype),
                unit_input(args.arithmetic, args.a.dtype), args.K, dense ? a.data : left.data(),
                cut_into(args.M, tile_rows), cut_into(args.N, tile_columns),
                [&](const UnitSum::Interval& m, const UnitSum::Interval& n, float* sums) {
                  finish_tile(args, m.begin, m.end, n.begin, n.end, sums, n.size());
                },
                [&](const KPlan::Range& k, const UnitSum::Interval& n, float* out) {
                  const float* first = b.data + k.begin * b.row_stride + n.begin * b.col_stride;
                  copy_dense({first, b.row_stride, b.col_stride}, k.end - k.begin, n.size(), out);
                }});
}

// One operand of a product: `size` outputs, each with K values.
struct Side {
  const float* data;
  int64_t size, stride, k_stride;
  const float* at(int64_t i, int64_t k) const { return data + i * stride + k * k_stride; }
};

// On register blocks of chains. The operand whose values are broadcast is the left one, here a or b: which, does
// not change a bit, but it decides what must be packed. An operand that several tiles read is packed before, as a
// whole; else each tile packs what it reads, block by block of k, so that it is still in a cache.
class ChainProduct {
 public:
  ChainProduct(const ProductArgs& args, const F32Matrix& a, const F32Matrix& b)
      : args_(args),
        left_{a.data, args.M, a.row_stride, a.col_stride},
        right_{b.data, args.N, b.col_stride, b.row_stride},
        swapped_(swap_if_cheaper()),
        registers_(register_block(right_.size)),
        width_(registers_.columns),
        panels_(left_.size, registers_.rows) {
    cut();
    const bool direct = right_.size <= 2 * width_ || (left_.k_stride == 1 && right_.size < kPackingPays);
    left_mode_ = direct                                 ? Packed::kNot
                 : tiles_across_ > 1 || tiles_down_ > 1 ? Packed::kWhole
                                                        : Packed::kByTile;
    right_mode_ = tiles_down_ > 1                            ? Packed::kWhole
                  : panels_.count == 1 && right_.stride == 1 ? Packed::kNot
                                                             : Packed::kByTile;
  }

  void run(const KPlan& plan) {
    for (int64_t k = 0; k < std::min(args_.K, kDepth); ++k)
      right_step_[k] = k * width_, direct_step_[k] = k * right_.k_stride;
    if (left_mode_ == Packed::kNot) {
      for (int64_t i = 0; i < left_.size; ++i) left_row_.push_back(i * left_.stride);
      for (int64_t k = 0; k < std::min(args_.K, kDepth); ++k) left_step_.push_back(k * left_.k_stride);
    }
    const Scratch whole_left(left_mode_ == Packed::kWhole ? left_.size * args_.K : 0);
    const Scratch whole_right(right_mode_ == Packed::kWhole ? ceil_div(right_.size, width_) * width_ * args_.K
                                                            : 0);
    whole_left_ = whole_left.data();
    whole_right_ = whole_right.data();
    std::vector<KPlan::Range> blocks;
    for (const auto& leaf : plan.leaves) {
      for (const KPlan::Range& range : leaf) {
        for (int64_t k = range.begin; k < range.end; k += kDepth) {
          blocks.push_back({k, std::min(k + kDepth, range.end)});
        }
      }
    }
    if (left_mode_ == Packed::kWhole) pack_whole_left(blocks);
    if (right_mode_ == Packed::kWhole) pack_whole_right(blocks);

    TiledSum sum{"product", &plan, k_formats(args_.arithmetic, args_.out_dtype)};
    sum.tiles = tiles_down_ * tiles_across_;
    sum.tile_elements = std::min(left_.size, tile_panels_ * registers_.rows) * tile_columns_;
    sum.work = args_.M * args_.N * args_.K;
    sum.chain = [&](int64_t i, const KPlan::Range& range, float* out) { chain(tile(i), range, out); };
    sum.finish = [&](int64_t i, float* values) { finish(tile(i), values); };
    run_tiled_sum(sum);
  }

 private:
  enum class Packed : uint8_t { kNot, kByTile, kWhole };
  struct Tile {
    int64_t first_panel, last_panel, begin, end;  // panels of rows, and columns
    int64_t panels() const { return last_panel - first_panel; }
  };

  // Cycles for each k, roughly: two vectors of multiply-adds each, and what moving a value costs.
  static double cost(const Side& left, const Side& right) {
    const int64_t width = register_block(right.size).columns;
    return left.size * ceil_div(right.size, width) * width / 16.0 +
           (left.k_stride == 1 ? 0.1 : 0.3) * left.size +
           ceil_div(left.size, kTileRows) * right.size * (right.stride == 1 ? 0.2 : 0.8);
  }

  bool swap_if_cheaper() {
    if (cost(left_, right_) <= cost(right_, left_)) return false;
    std::swap(left_, right_);
    return true;
  }

  // Tiles as equal as can be, enough for the threads.
  void cut() {
    const int64_t groups = ceil_div(right_.size, width_);
    tiles_across_ = ceil_div(right_.size, kTileColumns);
    tiles_down_ = ceil_div(panels_.count * registers_.rows, kTileRows);
    const int64_t wanted = threads() == 1 ? 1 : 2 * threads();
    if (tiles_across_ * tiles_down_ < wanted) {
      tiles_down_ =
          std::max(tiles_down_, std::min(ceil_div(wanted, tiles_across_), ceil_div(panels_.count, 8)));
    }
    tile_panels_ = ceil_div(panels_.count, tiles_down_);
    tiles_down_ = ceil_div(panels_.count, tile_panels_);
    tile_columns_ = ceil_div(groups, tiles_across_) * width_;
    tiles_across_ = ceil_div(right_.size, tile_columns_);
  }

  Tile tile(int64_t i) const {
    const int64_t panel = i / tiles_across_ * tile_panels_, begin = i % tiles_across_ * tile_columns_;
    return {panel, std::min(panel + tile_panels_, panels_.count), begin,
            std::min(begin + tile_columns_, right_.size)};
  }

  // Block by block of k, so that the next panel follows where one ends.
  void pack_whole_left(const std::vector<KPlan::Range>& blocks) const {
    const int64_t count = blocks.size() * panels_.count;
    const int64_t grain = thread_grain(count, kMoveWork * left_.size * args_.K);
    parallel_for("product.pack", count, grain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const auto [k, end] = blocks[i / panels_.count];
        const int64_t panel = i % panels_.count;
        pack_left(panel, panel + 1, k, end - k, whole_left(panel, k, end - k));
      }
    });
  }
  float* whole_left(int64_t panel, int64_t k, int64_t depth) const {
    return whole_left_ + k * left_.size + panels_.begin(panel) * depth;
  }

  // Panels [first, last), one after the other.
  void pack_left(int64_t first, int64_t last, int64_t k, int64_t depth, float* out) const {
    for (int64_t panel = first; panel < last; ++panel) {
      const int64_t rows = panels_.rows(panel);
      pack_panel({left_.at(panels_.begin(panel), k), left_.k_stride, left_.stride}, depth, rows, rows, out);
      out += rows * depth;
    }
  }

  void pack_whole_right(const std::vector<KPlan::Range>& blocks) const {
    const int64_t strip = kStrip * width_, strips = ceil_div(right_.size, strip);
    const int64_t count = blocks.size() * strips;
    const int64_t grain = thread_grain(count, kMoveWork * right_.size * args_.K);
    parallel_for("product.pack", count, grain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const auto [k, end] = blocks[i / strips];
        const int64_t n = i % strips * strip;
        pack_right(n, std::min(n + strip, right_.size), k, end - k, whole_right(n, k, end - k));
      }
    });
  }
  float* whole_right(int64_t n, int64_t k, int64_t depth) const {
    return whole_right_ + k * ceil_div(right_.size, width_) * width_ + n * depth;
  }

  // Columns [begin, end) in groups as wide as the registers.
  void pack_right(int64_t begin, int64_t end, int64_t k, int64_t depth, float* out) const {
    pack_groups({right_.at(begin, k), right_.k_stride, right_.stride}, depth, end - begin, width_,
                depth * width_, out);
  }

  void chain(const Tile& tile, const KPlan::Range& range, float* out) const {
    const int64_t rows = panels_.begin(tile.last_panel) - panels_.begin(tile.first_panel);
    const Scratch left(left_mode_ == Packed::kByTile ? rows * kDepth : 0);
    const Scratch right(right_mode_ != Packed::kWhole ? kStrip * width_ * kDepth : 0);
    ChainBlock block{panels_, tile.first_panel, tile.last_panel};
    block.accumulate = args_.arithmetic.accumulate;
    block.ld = tile_columns_;
    for (int64_t k = range.begin; k < range.end; k += kDepth) {
      block.goes_on = k > range.begin;
      block.depth = std::min(kDepth, range.end - k);
      set_left(tile, k, left.data(), block);
      for (int64_t n = tile.begin, end; n < tile.end; n = end) {
        end = right_mode_ == Packed::kWhole ? tile.end : std::min(n + kStrip * width_, tile.end);
        block.columns = end - n;
        set_right(n, end, k, right.data(), block);
        block.out = out + (n - tile.begin);
        run_chain_block(block);
      }
    }
  }

  void set_left(const Tile& tile, int64_t k, float* packed, ChainBlock& block) const {
    if (left_mode_ == Packed::kNot) {
      block.left = left_.at(0, k);
      block.left_row = left_row_.data();
      block.left_step = left_step_.data();
    } else if (left_mode_ == Packed::kWhole) {
      block.left = whole_left(tile.first_panel, k, block.depth);
    } else {
      pack_left(tile.first_panel, tile.last_panel, k, block.depth, packed);
      block.left = packed;
    }
    block.left_depth = block.depth;
  }

  void set_right(int64_t begin, int64_t end, int64_t k, float* packed, ChainBlock& block) const {
    block.right_step = right_step_;
    block.right_group = block.depth * width_;
    if (right_mode_ == Packed::kWhole) {
      block.right = whole_right(begin, k, block.depth);
    } else if (right_mode_ == Packed::kNot && reads_inside(end, k + block.depth)) {
      block.right = right_.at(begin, k);
      block.right_step = direct_step_;
      block.right_group = width_;
    } else {
      pack_right(begin, end, k, block.depth, packed);
      block.right = packed;
    }
  }

  // Whether whole vectors up to this column and this k are all in the right operand's memory.
  bool reads_inside(int64_t end, int64_t k_end) const {
    return right_.at(ceil_div(end, width_) * width_, k_end - 1) <= right_.at(right_.size, args_.K - 1);
  }

  void finish(const Tile& tile, float* values) const {
    const int64_t first = panels_.begin(tile.first_panel), last = panels_.begin(tile.last_panel);
    if (!swapped_) return finish_tile(args_, first, last, tile.begin, tile.end, values, tile_columns_);
    const int64_t rows = last - first, columns = tile.end - tile.begin;
    const Scratch turned(rows * columns);
    copy_dense({values, 1, tile_columns_}, columns, rows, turned.data());
    finish_tile(args_, tile.begin, tile.end, first, last, turned.data(), rows);
  }

  const ProductArgs& args_;
  Side left_, right_;
  bool swapped_;
  RegisterBlock registers_;
  int64_t width_;
  RowPanels panels_;
  Packed left_mode_, right_mode_;
  float *whole_left_ = nullptr, *whole_right_ = nullptr;
  std::vector<int64_t> left_row_, left_step_;
  int64_t right_step_[kDepth], direct_step_[kDepth];
  int64_t tiles_down_, tiles_across_, tile_panels_, tile_columns_;
};

}  // namespace

void product(const char* op_name, const ProductArgs& args) {
  check(op_name, args);
  const Unit& unit = check_unit(args.arithmetic, unit_input(args.arithmetic, args.a.dtype), op_name);
  if (args.M == 0 || args.N == 0) return;
  const KPlan plan = plan_k(args.K, args.k_per_leaf, args.gradient_sum, args.arithmetic);
  if (unit.tiles.multiply) {
    return tile_product(args, unit.tiles, plan,
                        [&](auto... rows_columns_sums) { finish_tile(args, rows_columns_sums...); });
  }
  std::vector<float> a_storage, b_storage;
  const F32Matrix a = widen_operand(args.a, args.M, args.K, args.arithmetic, a_storage);
  const F32Matrix b = widen_operand(args.b, args.K, args.N, args.arithmetic, b_storage);
  if (args.arithmetic.unit == kFmaUnit)
    ChainProduct(args, a, b).run(plan);
  else
    unit_product(args, unit, plan, a, b);
}

}  // namespace faultline
