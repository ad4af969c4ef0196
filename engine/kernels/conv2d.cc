#include "engine/kernels/conv2d.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/packing.h"
#include "engine/kernels/planes.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/row_formats.h"

namespace faultline {
namespace {

constexpr int64_t kTileElements = 1 << 15, kSamplesPerLeaf = 8;

using Offsets = std::vector<int64_t>;

void check(const char* op_name, const Conv2dShape& s, Dtype left, Dtype right, Dtype out) {
  const std::string text =
      "x [" + std::to_string(s.N) + ", " + std::to_string(s.C) + ", " + std::to_string(s.H) + ", " +
      std::to_string(s.W) + "], w [" + std::to_string(s.OC) + ", " + std::to_string(s.C) + ", " +
      std::to_string(s.KH) + ", " + std::to_string(s.KW) + "], stride " + std::to_string(s.stride_h) + " x " +
      std::to_string(s.stride_w) + ", padding " + std::to_string(s.pad_h) + " x " + std::to_string(s.pad_w);
  const bool sizes = s.N >= 0 && s.C > 0 && s.H > 0 && s.W > 0 && s.OC > 0 && s.KH > 0 && s.KW > 0 &&
                     s.stride_h > 0 && s.stride_w > 0 && s.pad_h >= 0 && s.pad_w >= 0;
  if (!sizes || s.H + 2 * s.pad_h < s.KH || s.W + 2 * s.pad_w < s.KW) {
    throw Error(ErrorCode::kShape, op_name, text + ": no output; the padded image must cover the kernel");
  }
  const auto is_16_or_32 = [](Dtype dtype) { return is_float(dtype) && size_bytes(dtype) <= 4; };
  if (left != right || !is_16_or_32(left) || !is_16_or_32(out)) {
    throw Error(ErrorCode::kDtype, op_name,
                text + ": " + name(left) + " and " + name(right) + " in " + name(out) +
                    "; operands share one of f32, f16, bf16, and so is the result");
  }
}

bool runs_on_chains(const Arithmetic& arithmetic) {
  return arithmetic.unit == kFmaUnit && arithmetic.accumulate == Dtype::kF32;
}

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

// Outputs of M channels at rows x cols positions of each sample: out(m, r, c) = sum over k of weight(m, k)
// times the plane element at tap[k] + first + r * width + c. Forward is one of these, dx one per residue of
// the stride.
struct Correlation {
  const Planes& planes;
  int64_t M, rows, cols, first;
  const float* weights;  // element (m, k) at m * weight_row + weight_step[k]
  int64_t weight_row;
  Offsets weight_step, tap;
  std::function<void(int64_t sample, int64_t m, int64_t row, float* sum)> finish;  // a row of `cols` outputs

  int64_t K() const { return tap.size(); }
};

void correlate_with_chains(const char* kernel, const Correlation& c, const KPlan& plan,
                           const KFormats& formats) {
  const PlaneLayout& layout = c.planes.layout();
  const RowPanels panels(c.M, register_block().rows);
  const auto packed = std::make_unique_for_overwrite<float[]>(c.M * c.K());
  for (int64_t panel = 0; panel < panels.count; ++panel) {
    const int64_t begin = panels.begin(panel), rows = panels.rows(panel);
    float* out = packed.get() + begin * c.K();
    for (int64_t k = 0; k < c.K(); ++k) {
      for (int64_t i = 0; i < rows; ++i) *out++ = c.weights[(begin + i) * c.weight_row + c.weight_step[k]];
    }
  }
  // A tile is some rows of outputs of one sample and some panels of channels.
  const int64_t width = register_block().columns;
  const int64_t row_tile = std::clamp<int64_t>(kTileElements / 16 / layout.width, 1, c.rows);
  const int64_t ld = (row_tile * layout.width + width - 1) / width * width;
  const int64_t panel_tile =
      std::clamp<int64_t>(kTileElements / ld / panels.rows(panels.count - 1), 1, panels.count);
  const int64_t row_tiles = ceil_div(c.rows, row_tile), panel_tiles = ceil_div(panels.count, panel_tile);

  TiledSum sum{kernel, &plan, formats};
  sum.tiles = layout.N * row_tiles * panel_tiles;
  sum.tile_elements = std::min(panel_tile * register_block().rows, c.M) * ld;
  sum.work = layout.N * c.M * c.rows * layout.width * c.K();
  const auto panel_of = [&](int64_t tile) { return std::min(tile * panel_tile, panels.count); };
  sum.chain = [&](int64_t tile, const KPlan::Range& range, float* values) {
    const int64_t row = tile / panel_tiles % row_tiles * row_tile;
    ChainBlock block{panels, panel_of(tile % panel_tiles), panel_of(tile % panel_tiles + 1)};
    block.columns = (std::min(row_tile, c.rows - row) - 1) * layout.width + c.cols;
    block.depth = range.end - range.begin;
    block.left = packed.get();
    block.left_begin = range.begin;
    block.left_depth = c.K();
    block.right =
        c.planes.data() + tile / panel_tiles / row_tiles * layout.sample() + c.first + row * layout.width;
    block.right_step = c.tap.data() + range.begin;
    block.right_group = width;
    block.out = values;
    block.ld = ld;
    run_chain_block(block);
  };
  sum.finish = [&](int64_t tile, float* values) {
    const int64_t row = tile / panel_tiles % row_tiles * row_tile, rows = std::min(row_tile, c.rows - row);
    const int64_t first = panels.begin(panel_of(tile % panel_tiles));
    const int64_t last = panels.begin(panel_of(tile % panel_tiles + 1));
    for (int64_t m = first; m < last; ++m) {
      for (int64_t r = 0; r < rows; ++r) {
        c.finish(tile / panel_tiles / row_tiles, m, row + r, values + (m - first) * ld + r * layout.width);
      }
    }
  };
  run_tiled_sum(sum);
}

// For any unit: the matrices are written out, sample by sample.
void correlate_with_unit(const char* kernel, const Correlation& c, const UnitSum& unit_sum) {
  const PlaneLayout& layout = c.planes.layout();
  const int64_t K = c.K(), P = c.rows * c.cols;
  std::vector<float> weights(c.M * K);
  for (int64_t m = 0; m < c.M; ++m) {
    for (int64_t k = 0; k < K; ++k) weights[m * K + k] = c.weights[m * c.weight_row + c.weight_step[k]];
  }
  parallel_for(kernel, layout.N, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> columns(K * P), sum(c.M * P);
    for (int64_t sample = begin; sample < end; ++sample) {
      const float* image = c.planes.data() + sample * layout.sample() + c.first;
      for (int64_t i = 0; i < K * P; ++i) {
        columns[i] = image[c.tap[i / P] + i % P / c.cols * layout.width + i % c.cols];
      }
      run_unit_sum(unit_sum, weights.data(), columns.data(), sum.data());
      for (int64_t i = 0; i < c.M * c.rows; ++i) {
        c.finish(sample, i / c.rows, i % c.rows, sum.data() + i * c.cols);
      }
    }
  });
}

void correlate(const char* kernel, const Correlation& c, const Unit& unit, Dtype input, Dtype out,
               const Arithmetic& arithmetic) {
  const KPlan plan = plan_k(c.K(), 0, false, arithmetic);
  const KFormats formats = k_formats(arithmetic, out);
  if (runs_on_chains(arithmetic))
    correlate_with_chains(kernel, c, plan, formats);
  else
    correlate_with_unit(kernel, c, {unit, plan, formats, input, c.M, c.rows * c.cols, c.K()});
}

// The image as forward and dw read it: padded, split by the residues of the strides.
PlaneLayout image_layout(const Conv2dShape& s) {
  const int64_t height = ceil_div((s.OH() - 1) * s.stride_h + s.KH, s.stride_h);
  const int64_t width = ceil_div((s.OW() - 1) * s.stride_w + s.KW, s.stride_w);
  return {s.N, s.C, s.H, s.W, -s.pad_h, -s.pad_w, s.stride_h, s.stride_w, height, width};
}

// Offsets in a sample of the taps (channel, row, column of the kernel).
Offsets image_taps(const Conv2dShape& s, const PlaneLayout& layout) {
  Offsets taps;
  for (int64_t c = 0; c < s.C; ++c) {
    for (int64_t kh = 0; kh < s.KH; ++kh) {
      for (int64_t kw = 0; kw < s.KW; ++kw) taps.push_back(layout.offset(c, kh, kw));
    }
  }
  return taps;
}

F32Matrix widen_weights(const Conv2dShape& s, ConstArray w, const Arithmetic& arithmetic,
                        std::vector<float>& storage) {
  const int64_t K = s.C * s.KH * s.KW;
  return widen_operand({w.data, w.dtype, K, 1}, s.OC, K, arithmetic, storage);
}

void narrow_at(const float* values, int64_t n, Array out, int64_t offset) {
  narrow_row(values, n, out.dtype, static_cast<char*>(out.data) + offset * size_bytes(out.dtype));
}

// One axis of dx for the inputs whose padded position is `residue` modulo the stride: the taps residue + a *
// stride, a < taps, hit them; inputs q in [begin, end) lie at q * stride + residue - pad and read outputs q -
// a.
struct Residue {
  Residue(int64_t residue, int64_t size, int64_t kernel, int64_t stride, int64_t pad)
      : taps(residue < kernel ? (kernel - 1 - residue) / stride + 1 : 0),
        begin(ceil_div(pad - residue, stride)),
        end(floor_div(size - 1 + pad - residue, stride) + 1) {}
  int64_t taps, begin, end;
};

// The residues of both axes at once, and where their inputs lie.
void correlate_residue(const Conv2dShape& s, int64_t rh, int64_t rw, const Planes& planes,
                       const float* weights, Dtype input, Array dx, const Unit& unit,
                       const Arithmetic& arithmetic) {
  const Residue h(rh, s.H, s.KH, s.stride_h, s.pad_h), v(rw, s.W, s.KW, s.stride_w, s.pad_w);
  if (h.begin >= h.end || v.begin >= v.end) return;
  const PlaneLayout& layout = planes.layout();
  Correlation c{planes, s.C, h.end - h.begin, v.end - v.begin, 0, weights, s.KH * s.KW, {}, {}, {}};
  for (int64_t oc = 0; oc < s.OC; ++oc) {
    for (int64_t a = 0; a < h.taps; ++a) {
      for (int64_t b = 0; b < v.taps; ++b) {
        c.weight_step.push_back((oc * s.C * s.KH + rh + a * s.stride_h) * s.KW + rw + b * s.stride_w);
        c.tap.push_back(layout.offset(oc, h.begin - a - layout.origin_h, v.begin - b - layout.origin_w));
      }
    }
  }
  c.finish = [&](int64_t sample, int64_t m, int64_t row, float* sum) {
    const int64_t ih = (h.begin + row) * s.stride_h + rh - s.pad_h, iw = v.begin * s.stride_w + rw - s.pad_w;
    const int64_t offset = ((sample * s.C + m) * s.H + ih) * s.W + iw;
    if (s.stride_w == 1) return narrow_at(sum, c.cols, dx, offset);
    for (int64_t i = 0; i < c.cols; ++i) narrow_at(sum + i, 1, dx, offset + i * s.stride_w);
  };
  correlate("conv2d_dx", c, unit, input, dx.dtype, arithmetic);
}

// The incoming gradient as dx reads it, from the first output that any tap reads to the last.
PlaneLayout gradient_layout(const Conv2dShape& s) {
  const int64_t most_h = (s.KH - 1) / s.stride_h, most_w = (s.KW - 1) / s.stride_w;
  const int64_t first_h = s.pad_h / s.stride_h - most_h, first_w = s.pad_w / s.stride_w - most_w;
  return {s.N,
          s.OC,
          s.OH(),
          s.OW(),
          first_h,
          first_w,
          1,
          1,
          (s.H - 1 + s.pad_h) / s.stride_h - first_h + 1,
          (s.W - 1 + s.pad_w) / s.stride_w - first_w + 1};
}

// dw as left [C * KH * KW taps, positions] * right [positions, OC]: the taps are broadcast from the image
// where they lie, the incoming gradient is packed with its channels side by side.
void dw_with_chains(const Conv2dShape& s, const Planes& planes, const F32Matrix& dy, Array dw,
                    const Arithmetic& arithmetic) {
  const int64_t P = s.OH() * s.OW(), K = s.N * P, taps = s.C * s.KH * s.KW;
  const KPlan plan = plan_k(K, kSamplesPerLeaf * P, true, arithmetic);
  const PlaneLayout& layout = planes.layout();
  const Offsets rows = image_taps(s, layout);
  const int64_t width = register_block().columns, groups = ceil_div(s.OC, width);
  const auto packed = std::make_unique_for_overwrite<float[]>(groups * K * width);
  parallel_for("conv2d_dw.pack", s.N, thread_grain(s.N, kMoveWork * K * s.OC),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin * groups; i < end * groups; ++i) {
                   const int64_t sample = i / groups, oc = i % groups * width;
                   pack_panel({dy.data + (sample * s.OC + oc) * P, 1, P}, P, std::min(width, s.OC - oc),
                              width, packed.get() + (i % groups * K + sample * P) * width);
                 }
               });
  Offsets right_step;
  for (int64_t k = 0; k < kChainBlock; ++k) right_step.push_back(k * width);

  const RowPanels panels(taps, register_block().rows);
  const int64_t panel_tile = std::max<int64_t>(1, kTileElements / width / register_block().rows);
  const int64_t panel_tiles = ceil_div(panels.count, panel_tile);
  const auto panel_of = [&](int64_t tile) { return std::min(tile % panel_tiles * panel_tile, panels.count); };
  TiledSum sum{"conv2d_dw", &plan, k_formats(arithmetic, dw.dtype)};
  sum.tiles = panel_tiles * groups;
  sum.tile_elements = std::min(taps, panel_tile * register_block().rows) * width;
  sum.work = taps * s.OC * K;
  sum.chain = [&](int64_t tile, const KPlan::Range& range, float* values) {
    const int64_t group = tile / panel_tiles;
    Offsets positions;
    for (int64_t k = range.begin; k < range.end; ++k) {
      positions.push_back(k / P * layout.sample() + k % P / s.OW() * layout.width + k % s.OW());
    }
    ChainBlock block{panels, panel_of(tile), std::min(panel_of(tile) + panel_tile, panels.count)};
    block.columns = std::min(width, s.OC - group * width);
    block.depth = range.end - range.begin;
    block.left = planes.data();
    block.left_row = rows.data();
    block.left_step = positions.data();
    block.right = packed.get() + (group * K + range.begin) * width;
    block.right_step = right_step.data();
    block.out = values;
    block.ld = width;
    run_chain_block(block);
  };
  sum.finish = [&](int64_t tile, float* values) {
    const int64_t group = tile / panel_tiles * width, first = panels.begin(panel_of(tile));
    const int64_t last = panels.begin(std::min(panel_of(tile) + panel_tile, panels.count));
    std::vector<float> line(last - first);
    for (int64_t oc = group; oc < std::min(group + width, s.OC); ++oc) {
      for (int64_t i = 0; i < last - first; ++i) line[i] = values[i * width + oc - group];
      narrow_at(line.data(), last - first, dw, oc * taps + first);
    }
  };
  run_tiled_sum(sum);
}

// For any unit: dw [OC, taps] = dy [OC, positions] * image [positions, taps], both written out.
void dw_with_unit(const Conv2dShape& s, const Planes& planes, const F32Matrix& dy, Dtype input, Array dw,
                  const Unit& unit, const Arithmetic& arithmetic) {
  const int64_t P = s.OH() * s.OW(), K = s.N * P, taps = s.C * s.KH * s.KW;
  const KPlan plan = plan_k(K, kSamplesPerLeaf * P, true, arithmetic);
  const PlaneLayout& layout = planes.layout();
  const Offsets tap = image_taps(s, layout);
  std::vector<float> left(s.OC * K), right(K * taps), sum(s.OC * taps);
  for (int64_t i = 0; i < s.OC * K; ++i) left[i] = dy.data[(i % K / P * s.OC + i / K) * P + i % P];
  for (int64_t k = 0; k < K; ++k) {
    const int64_t position = k / P * layout.sample() + k % P / s.OW() * layout.width + k % s.OW();
    for (int64_t t = 0; t < taps; ++t) right[k * taps + t] = planes.data()[position + tap[t]];
  }
  run_unit_sum({unit, plan, k_formats(arithmetic, dw.dtype), input, s.OC, taps, K}, left.data(), right.data(),
               sum.data());
  narrow_at(sum.data(), s.OC * taps, dw, 0);
}

}  // namespace

void conv2d_forward(const char* op_name, const Conv2dShape& shape, ConstArray x, ConstArray w,
                    const float* bias, Array y, const Arithmetic& arithmetic) {
  check(op_name, shape, x.dtype, w.dtype, y.dtype);
  const Dtype input = unit_input(arithmetic, x.dtype);
  const Unit& unit = check_unit(arithmetic, input, op_name);
  if (shape.N == 0) return;
  std::vector<float> storage;
  const F32Matrix weights = widen_weights(shape, w, arithmetic, storage);
  const Planes planes(image_layout(shape), x, arithmetic);
  const int64_t OC = shape.OC, OH = shape.OH(), OW = shape.OW(), K = shape.C * shape.KH * shape.KW;
  Correlation c{planes, OC, OH, OW, 0, weights.data, K, {}, image_taps(shape, planes.layout()), {}};
  for (int64_t k = 0; k < K; ++k) c.weight_step.push_back(k);
  c.finish = [&](int64_t sample, int64_t m, int64_t row, float* sum) {
    for (int64_t i = 0; bias != nullptr && i < OW; ++i) sum[i] += bias[m];
    narrow_at(sum, OW, y, ((sample * OC + m) * OH + row) * OW);
  };
  correlate("conv2d_forward", c, unit, input, y.dtype, arithmetic);
}

void conv2d_dx(const char* op_name, const Conv2dShape& shape, ConstArray dy, ConstArray w, Array dx,
               const Arithmetic& arithmetic) {
  check(op_name, shape, dy.dtype, w.dtype, dx.dtype);
  const Dtype input = unit_input(arithmetic, dy.dtype);
  const Unit& unit = check_unit(arithmetic, input, op_name);
  if (shape.N == 0) return;
  std::vector<float> storage;
  const F32Matrix weights = widen_weights(shape, w, arithmetic, storage);
  const Planes planes(gradient_layout(shape), dy, arithmetic);
  for (int64_t rh = 0; rh < shape.stride_h; ++rh) {
    for (int64_t rw = 0; rw < shape.stride_w; ++rw) {
      correlate_residue(shape, rh, rw, planes, weights.data, input, dx, unit, arithmetic);
    }
  }
}

void conv2d_dw(const char* op_name, const Conv2dShape& shape, ConstArray x, ConstArray dy, Array dw,
               const Arithmetic& arithmetic) {
  check(op_name, shape, x.dtype, dy.dtype, dw.dtype);
  const Dtype input = unit_input(arithmetic, x.dtype);
  const Unit& unit = check_unit(arithmetic, input, op_name);
  std::vector<float> storage;
  const int64_t P = shape.OH() * shape.OW();
  const F32Matrix gradient =
      widen_operand({dy.data, dy.dtype, P, 1}, shape.N * shape.OC, P, arithmetic, storage);
  const Planes planes(image_layout(shape), x, arithmetic);
  if (runs_on_chains(arithmetic))
    dw_with_chains(shape, planes, gradient, dw, arithmetic);
  else
    dw_with_unit(shape, planes, gradient, input, dw, unit, arithmetic);
}

}  // namespace faultline
