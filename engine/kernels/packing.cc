#include "engine/kernels/packing.h"

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "engine/base/parallel.h"
#include "engine/kernels/planned_sum.h"

namespace faultline {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kRowsAhead = 16;  // are asked for, where each is a line of its own

// gcc moves 16 bytes at a time, whatever the instruction set.
template <int size>
HWY_INLINE void copy(const float* from, float* to) {
  const hn::CappedTag<float, size> d;
#pragma GCC unroll 16
  for (size_t i = 0; i < size; i += hn::Lanes(d)) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
}

// Rows j, j + 1, j + 2 and j + 3 of a block of 4 values each; of 8 lanes, the upper four are from 4 rows below.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void transpose_rows(D d, V r0, V r1, V r2, V r3, int64_t width, float* out) {
  const hn::RepartitionToWide<D> dw;
  const auto low01 = hn::BitCast(dw, hn::InterleaveLower(d, r0, r1));
  const auto high01 = hn::BitCast(dw, hn::InterleaveUpper(d, r0, r1));
  const auto low23 = hn::BitCast(dw, hn::InterleaveLower(d, r2, r3));
  const auto high23 = hn::BitCast(dw, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dw, low01, low23)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dw, low01, low23)), d, out + width);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dw, high01, high23)), d, out + 2 * width);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dw, high01, high23)), d, out + 3 * width);
}

// Contiguous columns that lie `stride` apart, or few of them anywhere.
struct Columns {
  const float* data;
  int64_t stride;
  HWY_INLINE const float* operator()(int64_t j) const { return data + j * stride; }
};
struct ColumnsAnywhere {
  const float* column[kMostColumnPairs];
  HWY_INLINE const float* operator()(int64_t j) const { return column[j]; }
};

// Writes out[i * width + j] = column(first + j)[k + i] for i, j < 4, and +0 for the columns from `end` on.
template <class Column>
HWY_INLINE void transpose_4x4(const Column& column, int64_t k, int64_t first, int64_t end, int64_t width,
                              float* out) {
  const hn::FixedTag<float, 4> d;
  const auto row = [&](int64_t j) {
    return first + j < end ? hn::LoadU(d, column(first + j) + k) : hn::Zero(d);
  };
  transpose_rows(d, row(0), row(1), row(2), row(3), width, out);
}

// The same for i, j < 8.
template <class Column>
HWY_INLINE void transpose_8x8(const Column& column, int64_t k, int64_t first, int64_t end, int64_t width,
                              float* out) {
#if HWY_MAX_BYTES >= 32
  if (first + 8 <= end) {
    const hn::FixedTag<float, 8> d;
    const hn::Half<decltype(d)> half;
    for (int64_t i = 0; i < 8; i += 4, out += 4 * width) {
      const auto rows = [&](int64_t j) {
        return hn::Combine(d, hn::LoadU(half, column(first + j + 4) + k + i),
                           hn::LoadU(half, column(first + j) + k + i));
      };
      transpose_rows(d, rows(0), rows(1), rows(2), rows(3), width, out);
    }
    return;
  }
#endif
  for (int64_t i = 0; i < 8; i += 4) {
    for (int64_t j = 4; j >= 0; j -= 4)
      transpose_4x4(column, k + i, first + j, end, width, out + i * width + j);
  }
}

// pack_panel for contiguous columns. Where the width is no multiple of 4, a block's last columns spill into
// the next row: blocks run from the last to the first and rows rise, so that the row's own values come after;
// the last rows go one by one.
template <class Column>
void pack_transposed(const Column& column, int64_t depth, int64_t columns, int64_t width, float* out) {
  // Lines of 16 values are read as a whole, because those of several columns may share a set of the cache.
  const int64_t wide = width / 8 * 8, last_block = (width - 1) / 4 * 4, end = depth * width;
  const auto four = [&](int64_t k, int64_t j)
                        HWY_ATTR { transpose_4x4(column, k, j, columns, width, out + k * width + j); };
  const auto eight = [&](int64_t k, int64_t j)
                         HWY_ATTR { transpose_8x8(column, k, j, columns, width, out + k * width + j); };
  int64_t k = 0;
  for (; (k + 15) * width + last_block + 4 <= end; k += 16) {
    for (int64_t j = last_block; j >= wide; j -= 4) {
      for (int64_t i = k; i < k + 16; i += 4) four(i, j);
    }
    for (int64_t j = wide - 8; j >= 0; j -= 8) eight(k, j), eight(k + 8, j);
  }
  for (; (k + 3) * width + last_block + 4 <= end; k += 4) {
    for (int64_t j = last_block; j >= 0; j -= 4) four(k, j);
  }
  for (; k < depth; ++k) {
    for (int64_t j = 0; j < width; ++j) out[k * width + j] = j < columns ? column(j)[k] : 0.0f;
  }
}

// pack_panel for contiguous rows. Rows are moved `whole` at a time: what is too much is overwritten by the next
// ones.
template <int whole>
void pack_rows(const float* data, int64_t stride, int64_t depth, int64_t width, float* out) {
  int64_t k = 0;
  if (stride >= whole) {
    for (; k * width + whole <= depth * width && k + 1 < depth; ++k) {
      copy<whole>(data + k * stride, out + k * width);
    }
  }
  for (; k < depth; ++k) std::copy_n(data + k * stride, width, out + k * width);
}

// pack_panels for contiguous rows of the matrix, row by row, as they lie in memory; a panel has at most `whole` rows,
// and so many values are moved: what is too much is overwritten by the next row of the matrix. Returns how many rows
// it packed: the last ones, of which that is not true, are left.
template <int whole>
int64_t pack_panel_rows(const F32Matrix& matrix, int64_t depth, const RowPanels& panels, int64_t first,
                        int64_t last, int64_t panel_depth, float* out) {
  if (matrix.row_stride < whole) return 0;
  const int64_t ends[] = {std::clamp(panels.longer, first, last), last};  // of longer panels, and of others
  const int64_t least = panels.rows(last - 1);
  const int64_t count = std::min(depth - 1, depth - ceil_div(whole, least) + 1);
  for (int64_t k = 0; k < count; ++k) {
    const float* from = matrix.data + k * matrix.row_stride;
    float* to = out;
    int64_t panel = first;
    for (const int64_t end : ends) {
      if (panel == end) continue;
      const int64_t rows = panels.rows(panel);
      for (; panel < end; ++panel, from += rows, to += rows * panel_depth) {
        hwy::Prefetch(from + kRowsAhead * matrix.row_stride);
        copy<whole>(from, to + k * rows);
      }
    }
  }
  return std::max<int64_t>(count, 0);
}

// pack_groups for contiguous columns. It goes row by row, because a row of one group alone is a line of a page of
// its own; where there is no other memory to read behind a row's end, the last group goes column by column.
template <int width>
void pack_wide_rows(const F32Matrix& matrix, int64_t depth, int64_t columns, int64_t group_stride,
                    float* out) {
  const float* end = matrix.data + (depth - 1) * matrix.row_stride + columns;
  for (int64_t k = 0; k < depth; ++k) {
    const float* row = matrix.data + k * matrix.row_stride;
    float* to = out + k * width;
    for (int64_t n = 0; n < columns; n += width, to += group_stride) {
      if (HWY_LIKELY(row + n + width <= end)) {
        for (int64_t i = 0; i < width; i += 16) hwy::Prefetch(row + n + i + kRowsAhead * matrix.row_stride);
        hwy::Prefetch(row + n + width - 1 + kRowsAhead * matrix.row_stride);
        copy<width>(row + n, to);
      } else {
        std::fill(std::copy_n(row + n, columns - n, to), to + width, 0.0f);
      }
    }
  }
}

}  // namespace

void widen_rows(ConstRows from, int64_t rows, int64_t n, const Arithmetic& arithmetic, float* out) {
  convert_rows(from, {out, Dtype::kF32, n}, rows, n);
  if (arithmetic.tf32 && from.dtype == Dtype::kF32) round_to_tf32(out, rows * n, arithmetic.tf32_rounding);
}

WidenedOperand::WidenedOperand(const Operand& operand, int64_t rows, int64_t cols,
                               const Arithmetic& arithmetic) {
  if (is_widened(operand.dtype, arithmetic)) {
    matrix_ = {static_cast<const float*>(operand.data), operand.row_stride, operand.col_stride};
    return;
  }
  // Lines run along the smaller stride; element by element where no stride is 1.
  const bool by_rows = operand.col_stride <= operand.row_stride;
  const int64_t lines = by_rows ? rows : cols, length = by_rows ? cols : rows;
  const int64_t line_stride = by_rows ? operand.row_stride : operand.col_stride;
  const int64_t step = by_rows ? operand.col_stride : operand.row_stride;
  float* const values = values_.emplace(rows * cols).data();
  parallel_for("widen", lines, thread_grain(lines, kMoveWork * rows * cols), [&](int64_t begin, int64_t end) {
    float* const to = values + begin * length;
    const char* from =
        static_cast<const char*>(operand.data) + begin * line_stride * size_bytes(operand.dtype);
    if (step == 1) {
      widen_rows({from, operand.dtype, line_stride}, end - begin, length, arithmetic, to);
      return;
    }
    for (int64_t line = 0; line < end - begin; ++line) {
      widen_rows({from + line * line_stride * size_bytes(operand.dtype), operand.dtype, step}, length, 1,
                 arithmetic, to + line * length);
    }
  });
  matrix_ = {values, by_rows ? length : 1, by_rows ? 1 : length};
}

void pack_panel(const F32Matrix& matrix, int64_t depth, int64_t columns, int64_t width, float* out) {
  if (matrix.row_stride == 1)
    return pack_transposed(Columns{matrix.data, matrix.col_stride}, depth, columns, width, out);
  if (matrix.col_stride == 1 && columns == width && width <= 64) {
    const auto pack = width <= 8    ? pack_rows<8>
                      : width <= 16 ? pack_rows<16>
                      : width <= 32 ? pack_rows<32>
                                    : pack_rows<64>;
    return pack(matrix.data, matrix.row_stride, depth, width, out);
  }
  for (int64_t k = 0; k < depth; ++k, out += width) {
    const float* row = matrix.data + k * matrix.row_stride;
    if (matrix.col_stride == 1) {
      std::copy_n(row, columns, out);
    } else {
      for (int64_t j = 0; j < columns; ++j) out[j] = row[j * matrix.col_stride];
    }
    for (int64_t j = columns; j < width; ++j) out[j] = 0;
  }
}

void pack_column_pairs(const float* data, int64_t stride, int64_t apart, int64_t depth, int64_t columns,
                       float* out) {
  ColumnsAnywhere in_turns;
  for (int64_t j = 0; j < columns; ++j) in_turns.column[j] = data + j / 2 * stride + j % 2 * apart;
  pack_transposed(in_turns, depth, columns, columns, out);
}

void pack_panels(const F32Matrix& matrix, int64_t depth, const RowPanels& panels, int64_t first, int64_t last,
                 int64_t panel_depth, float* out) {
  const int64_t begin = panels.begin(first);
  const auto packed = [&](int64_t panel) { return out + (panels.begin(panel) - begin) * panel_depth; };
  int64_t k = 0;
  if (matrix.col_stride == 1 && panels.rows(first) <= 8) {
    k = pack_panel_rows<8>(matrix, depth, panels, first, last, panel_depth, out);
  } else if (matrix.col_stride == 1 && panels.rows(first) <= 16) {
    k = pack_panel_rows<16>(matrix, depth, panels, first, last, panel_depth, out);
  }
  for (int64_t panel = first; panel < last; ++panel) {
    const int64_t rows = panels.rows(panel);
    const float* from =
        matrix.data + (panels.begin(panel) - begin) * matrix.col_stride + k * matrix.row_stride;
    pack_panel({from, matrix.row_stride, matrix.col_stride}, depth - k, rows, rows, packed(panel) + k * rows);
  }
}

void pack_groups(const F32Matrix& matrix, int64_t depth, int64_t columns, int64_t width, int64_t group_stride,
                 float* out) {
  if (matrix.col_stride == 1 && width == 16)
    return pack_wide_rows<16>(matrix, depth, columns, group_stride, out);
  if (matrix.col_stride == 1 && width == 32)
    return pack_wide_rows<32>(matrix, depth, columns, group_stride, out);
  if (matrix.col_stride == 1 && width == 64)
    return pack_wide_rows<64>(matrix, depth, columns, group_stride, out);
  for (int64_t n = 0; n < columns; n += width) {
    const F32Matrix group{matrix.data + n * matrix.col_stride, matrix.row_stride, matrix.col_stride};
    pack_panel(group, depth, std::min(width, columns - n), width, out + n / width * group_stride);
  }
}

void copy_transposed(const float* in, int64_t stride, int64_t rows, int64_t cols, float* out,
                     int64_t out_stride) {
  for (int64_t i = 0; i < rows; i += 8) {
    int64_t j = 0;
    if (i + 8 <= rows && cols >= 8) {
      const auto block = [&](int64_t j) HWY_ATTR {
        transpose_8x8(Columns{in, stride}, i, j, cols, out_stride, out + i * out_stride + j);
      };
      for (; j + 8 <= cols; j += 8) block(j);
      // The last columns go with some that have gone already.
      if (j < cols) block(cols - 8);
      j = cols;
    }
    for (; j < cols; ++j) {
      for (int64_t k = i; k < std::min(i + 8, rows); ++k) out[k * out_stride + j] = in[j * stride + k];
    }
  }
}

void copy_dense(const F32Matrix& matrix, int64_t rows, int64_t cols, float* out) {
  pack_panel(matrix, rows, cols, cols, out);
}

}  // namespace faultline
