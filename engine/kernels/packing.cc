#include "engine/kernels/packing.h"

#include <algorithm>

#include "engine/kernels/row_formats.h"

namespace faultline {

F32Matrix widen_operand(const Operand& operand, int64_t rows, int64_t cols, const Arithmetic& arithmetic,
                        std::vector<float>& storage) {
  const bool round = arithmetic.tf32 && operand.dtype == Dtype::kF32;
  if (operand.dtype == Dtype::kF32 && !round) {
    return {static_cast<const float*>(operand.data), operand.row_stride, operand.col_stride};
  }
  // Lines run along the smaller stride; element by element where no stride is 1.
  const bool by_rows = operand.col_stride <= operand.row_stride;
  const int64_t lines = by_rows ? rows : cols, length = by_rows ? cols : rows;
  const int64_t line_stride = by_rows ? operand.row_stride : operand.col_stride;
  const int64_t step = by_rows ? operand.col_stride : operand.row_stride;
  const int64_t run = step == 1 ? length : 1;
  storage.resize(rows * cols);
  const char* bytes = static_cast<const char*>(operand.data);
  for (int64_t line = 0; line < lines; ++line) {
    for (int64_t i = 0; i < length; i += run) {
      const int64_t offset = (line * line_stride + i * step) * size_bytes(operand.dtype);
      widen_row(bytes + offset, operand.dtype, run, storage.data() + line * length + i);
    }
  }
  if (round) round_row_to_tf32(storage.data(), rows * cols, arithmetic.tf32_rounding);
  return {storage.data(), by_rows ? length : 1, by_rows ? 1 : length};
}

void pack_panel(const F32Matrix& matrix, int64_t depth, int64_t columns, int64_t width, float* out) {
  if (columns < width) std::fill_n(out, depth * width, 0.0f);
  if (matrix.col_stride == 1) {
    for (int64_t k = 0; k < depth; ++k) {
      std::copy_n(matrix.data + k * matrix.row_stride, columns, out + k * width);
    }
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t j = 0; j < columns; ++j) {
      out[k * width + j] = matrix.data[k * matrix.row_stride + j * matrix.col_stride];
    }
  }
}

void copy_dense(const F32Matrix& matrix, int64_t rows, int64_t cols, float* out) {
  pack_panel(matrix, rows, cols, cols, out);
}

}  // namespace faultline
