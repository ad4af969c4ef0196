#include "engine/kernels/packing.h"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"

namespace faultline {
namespace {

TEST_CASE("pack_panel: every small size and stride, zeros past the columns, nothing past the end") {
  const std::pair<int64_t, int64_t> strides[] = {{1, 20}, {20, 1}, {3, 40}};
  for (const auto& [row_stride, col_stride] : strides) {
    for (int64_t depth = 0; depth < 14; ++depth) {
      for (int64_t width = 1; width < 18; ++width) {
        for (int64_t columns = 0; columns <= width; ++columns) {
          std::vector<float> in(1600, NAN), out(depth * width + 8, -7), want = out;
          for (int64_t k = 0; k < depth; ++k) {
            for (int64_t j = 0; j < width; ++j) {
              want[k * width + j] = j < columns ? static_cast<float>(k * 100 + j + 1) : 0.0f;
              if (j < columns) in[k * row_stride + j * col_stride] = want[k * width + j];
            }
          }
          pack_panel({in.data(), row_stride, col_stride}, depth, columns, width, out.data());
          if (out != want) FAIL(depth << " x " << columns << " in " << width << ", strides " << row_stride);
        }
      }
    }
  }
}

TEST_CASE("pack_panels: panels of every width, some of them, nothing past the end") {
  for (const int64_t size : {1, 3, 7, 12, 13, 29, 45, 64}) {
    for (const int64_t most : {1, 5, 6, 9, 15, 16}) {
      for (const int64_t depth : {0, 1, 2, 3, 17, 40}) {
        const RowPanels panels(size, most);
        const int64_t first = panels.count / 3, begin = panels.begin(first), columns = size - begin;
        for (const int64_t stride : {columns, columns + 20}) {
          const int64_t panel_depth = depth + 3;
          std::vector<float> in(depth > 0 ? (depth - 1) * stride + columns : 0);
          for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i + 1);
          std::vector<float> out(columns * panel_depth, -7), want = out;
          for (int64_t panel = first; panel < panels.count; ++panel) {
            const int64_t from = panels.begin(panel) - begin, rows = panels.rows(panel);
            for (int64_t k = 0; k < depth; ++k) {
              std::copy_n(in.data() + k * stride + from, rows, &want[from * panel_depth + k * rows]);
            }
          }
          pack_panels({in.data(), stride, 1}, depth, panels, first, panels.count, panel_depth, out.data());
          if (out != want) FAIL(size << " in panels of " << most << ", depth " << depth);
        }
      }
    }
  }
}

TEST_CASE("copy_transposed: every small size, and nothing beside the result") {
  for (int64_t rows = 0; rows < 20; ++rows) {
    for (int64_t cols = 0; cols < 20; ++cols) {
      const int64_t stride = rows + 3, out_stride = cols + 5;
      std::vector<float> in(cols * stride + 1), out(rows * out_stride + 1, -7), want = out;
      for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i + 1);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < cols; ++j) want[i * out_stride + j] = in[j * stride + i];
      }
      copy_transposed(in.data(), stride, rows, cols, out.data(), out_stride);
      if (out != want) FAIL(rows << " x " << cols);
    }
  }
}

TEST_CASE("convert_rows: rows of one format are moved, whatever their length, and nothing beside them") {
  for (int64_t n = 0; n < 140; ++n) {
    const int64_t rows = 3, from_stride = n + 2, to_stride = n + 4;
    std::vector<float> in(rows * from_stride + 1), out(rows * to_stride + 1, -7), want = out;
    for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i + 1);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < n; ++i) want[r * to_stride + i] = in[r * from_stride + i];
    }
    convert_rows({in.data(), Dtype::kF32, from_stride}, {out.data(), Dtype::kF32, to_stride}, rows, n);
    if (out != want) FAIL(n);
  }
}

TEST_CASE(
    "round_to_tf32: equals the scalar conversion on random patterns, in every way and on every instruction "
    "set") {
  std::mt19937 random(1);
  std::vector<float> values(10007);
  for (float& value : values) value = std::bit_cast<float>(static_cast<uint32_t>(random()));
  for (size_t i = 0; i < 64; ++i)
    values[i] = std::bit_cast<float>(0x7f7fe000u + static_cast<uint32_t>(i) * 0x400u);
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (Tf32Rounding rounding : {Tf32Rounding::kRna, Tf32Rounding::kRne, Tf32Rounding::kTruncate}) {
      std::vector<float> got = values;
      round_to_tf32(got.data(), got.size(), rounding);
      int64_t different = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        const float want = tf32_from_f32(values[i], rounding);
        different += std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(want);
      }
      CHECK(different == 0);
    }
  }
  set_instruction_set("");
}

TEST_CASE("convert_rows: converts rows and leaves the gaps between them") {
  const float values[] = {1, 2, 99, 3, 4};
  Bf16 out[] = {{7}, {7}, {7}, {7}, {7}, {7}};
  convert_rows({values, Dtype::kF32, 3}, {out, Dtype::kBf16, 4}, 2, 2);
  const uint16_t want[] = {0x3f80, 0x4000, 7, 7, 0x4040, 0x4080};
  for (int i = 0; i < 6; ++i) CHECK(out[i].bits == want[i]);
}

TEST_CASE("scratch: gives its memory to the next of about its size, and never to two at once") {
  float* first;
  {
    const Scratch one(1000), two(1000);
    CHECK(one.data() != two.data());
    first = two.data();
  }
  const Scratch again(900), other(900), third(900);
  CHECK((again.data() == first || other.data() == first));
  CHECK(third.data() != first);
}

}  // namespace
}  // namespace faultline
