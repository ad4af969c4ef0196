#include "engine/kernels/product.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/kernels/chain_product.h"
#include "engine/kernels/packing.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/scratch.h"
#include "engine/kernels/tile_product.h"
#include "engine/kernels/unit_sum.h"

namespace faultline {
namespace {

void check(const char* op_name, const ProductArgs& args) {
  const auto is_16_or_32 = [](Dtype dtype) { return is_float(dtype) && size_bytes(dtype) <= 4; };
  if (args.a.dtype != args.b.dtype || !is_16_or_32(args.a.dtype) || !is_16_or_32(args.out_dtype)) {
    throw Error(ErrorCode::kDtype, op_name,
                std::string("a product of ") + name(args.a.dtype) + " and " + name(args.b.dtype) + " in " +
                    name(args.out_dtype) + ": operands share one of f32, f16, bf16, and so is the result");
  }
}

// Rows and columns of a tile at most, so that it stays in the L2 cache.
constexpr int64_t kTile = 256;

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
  const int64_t tile_rows = unit.dot ? std::min(ceil_div(args.M, threads()), kTile) : args.M;
  const int64_t tile_columns = unit.dot ? kTile : args.N;
  run_unit_sum({"product", unit, plan, k_formats(args.arithmetic, args.out_dtype),
                unit_input(args.arithmetic, args.a.dtype), args.K, dense ? a.data : left.data(),
                cut_into(args.M, tile_rows), cut_into(args.N, tile_columns),
                [&](const UnitSum::Interval& m, const UnitSum::Interval& n, float* sums) {
                  finish_product(args, m.begin, m.end, n.begin, n.end, sums, n.size());
                },
                [&](const KPlan::Range& k, const UnitSum::Interval& n, float* out) {
                  const float* first = b.data + k.begin * b.row_stride + n.begin * b.col_stride;
                  copy_dense({first, b.row_stride, b.col_stride}, k.end - k.begin, n.size(), out);
                }});
}

}  // namespace

void product(const char* op_name, const ProductArgs& args) {
  check(op_name, args);
  const Unit& unit = check_unit(args.arithmetic, unit_input(args.arithmetic, args.a.dtype), op_name);
  if (args.M == 0 || args.N == 0) return;
  const KPlan plan = plan_k(args.K, args.k_per_leaf, args.gradient_sum, args.arithmetic);
  if (unit.tiles.multiply) {
    return tile_product(args, unit.tiles, plan,
                        [&](auto... rows_columns_sums) { finish_product(args, rows_columns_sums...); });
  }
  const WidenedOperand a(args.a, args.M, args.K, args.arithmetic), b(args.b, args.K, args.N, args.arithmetic);
  if (args.arithmetic.unit == kFmaUnit)
    chain_product(args, a.matrix(), b.matrix(), plan);
  else
    unit_product(args, unit, plan, a.matrix(), b.matrix());
}

}  // namespace faultline
