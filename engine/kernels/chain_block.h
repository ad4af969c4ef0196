#pragma once

#include <array>
#include <cstdint>

#include "engine/numerics/dtype.h"

namespace faultline {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `size` rows in the fewest panels of at most `most` rows, as equal as can be without parting one of the runs of `run`
// rows that they come in.
struct RowPanels {
  RowPanels(int64_t size, int64_t most, int64_t run = 1)
      : size(size),
        count(ceil_div(size / run, most / run)),
        run(run),
        least(size / run / count),
        longer(size / run % count) {}
  int64_t begin(int64_t panel) const { return (least * panel + (panel < longer ? panel : longer)) * run; }
  int64_t rows(int64_t panel) const { return (least + (panel < longer)) * run; }

  int64_t size, count;
  int64_t run, least, longer;  // runs of a panel, and how many panels have one more
};

// What the registers of the instruction set in use hold of a block with so many columns: rows at most, and
// columns in whole vectors (one vector and more rows where that is enough).
struct RegisterBlock {
  int64_t rows, columns;
};
RegisterBlock register_block(int64_t columns);

// Where the values lie that are broadcast.
enum class LeftLayout : uint8_t {
  kPanels,    // panel after panel; a panel's rows side by side for each k
  kAdjacent,  // all rows side by side for each k; f32 sums only
  kAlongK,    // each row along k; f32 sums only
  kGathered,  // anywhere
};

// A block of fma chains: out[(i - first) * ld + j] = sum over k < depth of left(i, k) * right(k, j), k
// rising, from +0, for the rows i of panels [first_panel, last_panel), whose first is `first`, and `columns`
// columns j. Bits do not depend on how outputs are cut into blocks.
struct ChainBlock {
  RowPanels panels;
  int64_t first_panel = 0, last_panel = 0;
  int64_t columns = 0;
  int64_t depth = 0;
  Dtype accumulate = Dtype::kF32;  // f32 or f16 (then both operands are f16, widened)

  // Element (i, k), with panel [b, b + r), is at
  //   kPanels    left[(b - first) * left_depth + (left_begin + k) * r + i - b]
  //   kAdjacent  left[i + k * left_step]
  //   kAlongK    left[i * left_step + k]
  //   kGathered  left[left_row[i] + left_offset[k]]; rows of a panel are adjacent in runs of left_run: 1, 3, 5, or
  //              kWholePanel for all of them (f16 sums: 1 or kWholePanel). With left_group 2 (and no whole panels) an
  //              element is two values: one for even columns, one for odd ones
  LeftLayout left_layout = LeftLayout::kPanels;
  const float* left = nullptr;
  int64_t left_begin = 0, left_depth = 0, left_step = 0;
  static constexpr int64_t kWholePanel = 16;
  int64_t left_run = 1;
  int64_t left_group = 1;
  const int64_t* left_row = nullptr;
  const int64_t* left_offset = nullptr;

  // Columns in groups as wide as the register block: group g has element (k, j) at
  // right[g * right_group + k * right_step + j], or at right[g * right_group + right_offset[k] + j] (kPanels, and
  // kGathered in whole panels). Whole vectors are read, up to a vector less one past the last column.
  const float* right = nullptr;
  int64_t right_step = 0, right_group = 0;
  const int64_t* right_offset = nullptr;

  // Memory that is wanted soon, if there is any: with a packed right operand a line of each is asked for every few steps
  // of k, so that it comes while the chains run.
  std::array<const float*, 2> soon = {};

  bool adds = false;          // each sum is added to what lies in out, rounded to f32
  bool whole_vectors = true;  // out may be written in whole vectors, beyond the last column
  float* out = nullptr;
  int64_t ld = 0;
};
void run_chain_block(const ChainBlock& block);

}  // namespace faultline
