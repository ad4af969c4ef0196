#pragma once

#include <cstdint>
#include <optional>

#include "engine/kernels/chain_block.h"
#include "engine/kernels/product.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"

namespace faultline {

// A matrix of f32 in memory; element (i, j) is at data[i * row_stride + j * col_stride].
struct F32Matrix {
  const float* data;
  int64_t row_stride, col_stride;
};

// Whether a product takes operands of this type as they lie: f32 that is not rounded to tf32.
inline bool is_widened(Dtype dtype, const Arithmetic& arithmetic) {
  return dtype == Dtype::kF32 && !arithmetic.tf32;
}

// Writes rows of n elements side by side, widened, and rounded to tf32 if `arithmetic` says so.
void widen_rows(ConstRows from, int64_t rows, int64_t n, const Arithmetic& arithmetic, float* out);

// An operand widened, and rounded to tf32 if `arithmetic` says so: f32 that needs no rounding as it lies, else a copy in
// the order of the operand's memory.
class WidenedOperand {
 public:
  WidenedOperand(const Operand& operand, int64_t rows, int64_t cols, const Arithmetic& arithmetic);

  const F32Matrix& matrix() const { return matrix_; }

 private:
  std::optional<Scratch> values_;
  F32Matrix matrix_;
};

// Writes out[k * width + j] = matrix(k, j) for k < depth, j < columns, and +0 for columns <= j < width.
void pack_panel(const F32Matrix& matrix, int64_t depth, int64_t columns, int64_t width, float* out);

// Writes out[k * columns + j] = data[k + j / 2 * stride + j % 2 * apart] for k < depth, j < columns <=
// kMostColumnPairs: the columns of two matrices in turns.
inline constexpr int64_t kMostColumnPairs = 16;
void pack_column_pairs(const float* data, int64_t stride, int64_t apart, int64_t depth, int64_t columns,
                       float* out);

// Packs the columns of panels [first, last) of `panels`, whose first column is that of the matrix, panel after
// panel, each as wide as it is; they lie as if they were panel_depth deep.
void pack_panels(const F32Matrix& matrix, int64_t depth, const RowPanels& panels, int64_t first, int64_t last,
                 int64_t panel_depth, float* out);

// Packs all columns in groups of `width` as pack_panel does, group g from out[g * group_stride] on. What lies behind
// the last column is any number.
void pack_groups(const F32Matrix& matrix, int64_t depth, int64_t columns, int64_t width, int64_t group_stride,
                 float* out);

// Writes out[i * out_stride + j] = in[j * stride + i] for i < rows, j < cols.
void copy_transposed(const float* in, int64_t stride, int64_t rows, int64_t cols, float* out,
                     int64_t out_stride);

// Copies a matrix to dense rows.
void copy_dense(const F32Matrix& matrix, int64_t rows, int64_t cols, float* out);

}  // namespace faultline
