#pragma once

#include <cstdint>

#include "engine/numerics/dtype.h"

namespace faultline {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `size` rows in the fewest panels of at most `most` rows, as equal as can be.
struct RowPanels {
  RowPanels(int64_t size, int64_t most) : size(size), count(ceil_div(size, most)) {}
  int64_t begin(int64_t panel) const { return size * panel / count; }
  int64_t rows(int64_t panel) const { return begin(panel + 1) - begin(panel); }

  int64_t size, count;
};

// What the registers of the instruction set in use hold of a block with so many columns: rows at most, and
// columns in whole vectors (one vector and more rows where that is enough).
struct RegisterBlock {
  int64_t rows, columns;
};
RegisterBlock register_block(int64_t columns);

// A block of fma chains: out[(i - first) * ld + j] = sum over k < depth of left(i, k) * right(k, j), k
// rising, from +0 (or from out, where a chain goes on), for the rows i of panels [first_panel, last_panel), whose first is `first`, and `columns`
// columns j. Bits do not depend on how outputs are cut into blocks.
struct ChainBlock {
  RowPanels panels;
  int64_t first_panel = 0, last_panel = 0;
  int64_t columns = 0;
  int64_t depth = 0;
  Dtype accumulate = Dtype::kF32;  // f32 or f16 (then both operands are f16, widened)

  // left_row null: packed panel after panel from `first` on, left_depth deep; row i of the panel [b, b + r) has
  // its element k at left[(b - first) * left_depth + (left_begin + k) * r + i - b]. Else element (i, k) is at left[left_row[i] +
  // left_step[k]].
  const float* left = nullptr;
  int64_t left_begin = 0, left_depth = 0;
  const int64_t* left_row = nullptr;
  const int64_t* left_step = nullptr;

  // Columns in groups as wide as the register block: group g has element (k, j) at
  // right[g * right_group + right_step[k] + j]. Whole vectors are read, up to a vector less one past the last
  // column.
  const float* right = nullptr;
  const int64_t* right_step = nullptr;
  int64_t right_group = 0;

  bool goes_on = false;
  float* out = nullptr;  // Whole vectors are read and written.
  int64_t ld = 0;
};
void run_chain_block(const ChainBlock& block);

}  // namespace faultline
