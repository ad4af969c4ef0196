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
#include "engine/kernels/unit_sum.h"

namespace faultline {
namespace {

constexpr int64_t kTileRows = 96, kTileColumns = 256;

void check(const char* op_name, const ProductArgs& args) {
  const auto is_16_or_32 = [](Dtype dtype) { return is_float(dtype) && size_bytes(dtype) <= 4; };
  if (args.a.dtype != args.b.dtype || !is_16_or_32(args.a.dtype) || !is_16_or_32(args.out_dtype)) {
    throw Error(ErrorCode::kDtype, op_name,
                std::string("a product of ") + name(args.a.dtype) + " and " + name(args.b.dtype) + " in " +
                    name(args.out_dtype) + ": operands share one of f32, f16, bf16, and so is the result");
  }
}

// Adds the biases to one row of the finished sum and rounds it into the output.
void finish_row(const ProductArgs& args, int64_t m, int64_t n_begin, int64_t n_end, float* sum) {
  const int64_t n = n_end - n_begin;
  if (args.bias_m != nullptr) {
    for (int64_t j = 0; j < n; ++j) sum[j] += args.bias_m[m];
  }
  if (args.bias_n != nullptr) {
    for (int64_t j = 0; j < n; ++j) sum[j] += args.bias_n[n_begin + j];
  }
  char* out = static_cast<char*>(args.out) + (m * args.out_row_stride + n_begin) * size_bytes(args.out_dtype);
  convert_rows({sum, Dtype::kF32, n}, {out, args.out_dtype, n}, 1, n);
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
                  for (int64_t i = 0; i < m.size(); ++i) {
                    finish_row(args, m.begin + i, n.begin, n.end, sums + i * n.size());
                  }
                },
                [&](const KPlan::Range& k, const UnitSum::Interval& n, float* out) {
                  const float* first = b.data + k.begin * b.row_stride + n.begin * b.col_stride;
                  copy_dense({first, b.row_stride, b.col_stride}, k.end - k.begin, n.size(), out);
                }});
}

// Packs the rows of a, panel after panel.
void pack_left(const ProductArgs& args, const RowPanels& panels, const F32Matrix& a, float* out) {
  const int64_t grain = thread_grain(panels.count, kMoveWork * args.M * args.K);
  parallel_for("product.pack", panels.count, grain, [&](int64_t first, int64_t last) {
    for (int64_t panel = first; panel < last; ++panel) {
      const int64_t m = panels.begin(panel), rows = panels.rows(panel);
      const F32Matrix columns{a.data + m * a.row_stride, a.col_stride, a.row_stride};
      pack_panel(columns, args.K, rows, rows, out + m * args.K);
    }
  });
}

// Packs groups of `width` columns of b, group after group.
void pack_right(const ProductArgs& args, int64_t width, const F32Matrix& b, float* out) {
  const int64_t groups = (args.N + width - 1) / width, pieces = (args.K + kChainBlock - 1) / kChainBlock;
  const int64_t grain = thread_grain(groups * pieces, kMoveWork * args.K * args.N);
  parallel_for("product.pack", groups * pieces, grain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t n = i / pieces * width, k = i % pieces * kChainBlock;
      const F32Matrix block{b.data + k * b.row_stride + n * b.col_stride, b.row_stride, b.col_stride};
      pack_panel(block, std::min(kChainBlock, args.K - k), std::min(width, args.N - n), width,
                 out + n * args.K + k * width);
    }
  });
}

// The fast driver of unit fma.
void fma_product(const ProductArgs& args, const KPlan& plan, const F32Matrix& a, const F32Matrix& b) {
  const RegisterBlock registers = register_block(args.N);
  const RowPanels panels(args.M, registers.rows);
  const int64_t width = registers.columns;
  const Scratch left(args.M * args.K), right((args.N + width - 1) / width * args.K * width);
  pack_left(args, panels, a, left.data());
  pack_right(args, width, b, right.data());
  std::vector<int64_t> steps(kChainBlock);
  for (int64_t k = 0; k < kChainBlock; ++k) steps[k] = k * width;

  const int64_t tile_panels = std::max<int64_t>(1, kTileRows / registers.rows);
  const int64_t tile_rows = (panels.count + tile_panels - 1) / tile_panels;
  const int64_t tile_columns = std::min(kTileColumns, (args.N + width - 1) / width * width);
  const int64_t tiles_across = (args.N + tile_columns - 1) / tile_columns;
  const auto panel_of = [&](int64_t tile_row) { return std::min(tile_row * tile_panels, panels.count); };

  TiledSum sum{"product", &plan, k_formats(args.arithmetic, args.out_dtype)};
  sum.tiles = tile_rows * tiles_across;
  sum.tile_elements = std::min(args.M, tile_panels * registers.rows) * tile_columns;
  sum.work = args.M * args.N * args.K;
  sum.chain = [&](int64_t tile, const KPlan::Range& range, float* values) {
    const int64_t n = tile % tiles_across * tile_columns;
    ChainBlock block{panels, panel_of(tile / tiles_across), panel_of(tile / tiles_across + 1)};
    block.columns = std::min(tile_columns, args.N - n);
    block.depth = range.end - range.begin;
    block.accumulate = args.arithmetic.accumulate;
    block.left = left.data();
    block.left_begin = range.begin;
    block.left_depth = args.K;
    block.right = right.data() + n * args.K + range.begin * width;
    block.right_step = steps.data();
    block.right_group = args.K * width;
    block.out = values;
    block.ld = tile_columns;
    run_chain_block(block);
  };
  sum.finish = [&](int64_t tile, float* values) {
    const int64_t n = tile % tiles_across * tile_columns, tile_row = tile / tiles_across;
    const int64_t first = panels.begin(panel_of(tile_row)), last = panels.begin(panel_of(tile_row + 1));
    for (int64_t m = first; m < last; ++m) {
      finish_row(args, m, n, std::min(n + tile_columns, args.N), values + (m - first) * tile_columns);
    }
  };
  run_tiled_sum(sum);
}

}  // namespace

void product(const char* op_name, const ProductArgs& args) {
  check(op_name, args);
  const Unit& unit = check_unit(args.arithmetic, unit_input(args.arithmetic, args.a.dtype), op_name);
  if (args.M == 0 || args.N == 0) return;
  const KPlan plan = plan_k(args.K, args.k_per_leaf, args.gradient_sum, args.arithmetic);
  std::vector<float> a_storage, b_storage;
  const F32Matrix a = widen_operand(args.a, args.M, args.K, args.arithmetic, a_storage);
  const F32Matrix b = widen_operand(args.b, args.K, args.N, args.arithmetic, b_storage);
  if (args.arithmetic.unit == kFmaUnit)
    fma_product(args, plan, a, b);
  else
    unit_product(args, unit, plan, a, b);
}

}  // namespace faultline
