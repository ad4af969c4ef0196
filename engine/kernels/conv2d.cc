#include "engine/kernels/conv2d.h"

#include <numeric>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/kernels/correlation.h"
#include "engine/kernels/packing.h"
#include "engine/kernels/planes.h"
#include "engine/kernels/weight_gradient.h"

namespace faultline {
namespace {

std::string text(const Conv2dShape& s) {
  const auto list = [](std::vector<int64_t> sizes) {
    std::string text;
    for (int64_t size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
    return "[" + text + "]";
  };
  return "x " + list({s.N, s.C, s.H, s.W}) + ", w " + list({s.OC, s.C, s.KH, s.KW}) + ", stride " +
         list({s.stride_h, s.stride_w}) + ", padding " + list({s.pad_h, s.pad_w});
}

// Returns the unit, if it takes these formats and there is an output.
const Unit& check(const char* op_name, const Conv2dShape& s, Dtype left, Dtype right, Dtype out,
                  const Arithmetic& arithmetic) {
  const bool sizes = s.N >= 0 && s.C > 0 && s.H > 0 && s.W > 0 && s.OC > 0 && s.KH > 0 && s.KW > 0 &&
                     s.stride_h > 0 && s.stride_w > 0 && s.pad_h >= 0 && s.pad_w >= 0;
  if (!sizes || s.H + 2 * s.pad_h < s.KH || s.W + 2 * s.pad_w < s.KW) {
    throw Error(ErrorCode::kShape, op_name, text(s) + ": no output; the padded image must cover the kernel");
  }
  const auto is_16_or_32 = [](Dtype dtype) { return is_float(dtype) && size_bytes(dtype) <= 4; };
  if (left != right || !is_16_or_32(left) || !is_16_or_32(out)) {
    throw Error(ErrorCode::kDtype, op_name,
                text(s) + ": " + name(left) + " and " + name(right) + " in " + name(out) +
                    "; operands share one of f32, f16, bf16, and so is the result");
  }
  return check_unit(arithmetic, unit_input(arithmetic, left), op_name);
}

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

WidenedOperand widen_weights(const Conv2dShape& s, ConstArray w, const Arithmetic& arithmetic) {
  const int64_t K = s.C * s.KH * s.KW;
  return {{w.data, w.dtype, K, 1}, s.OC, K, arithmetic};
}

// One axis of dx for the inputs whose padded position is `residue` modulo the stride: the kernel's taps
// residue + a * stride, a < taps, hit them; input q in [begin, end) lies at q * stride + residue - pad and
// reads the outputs q - a.
struct Residue {
  Residue(int64_t residue, int64_t size, int64_t kernel, int64_t stride, int64_t pad)
      : taps(residue < kernel ? (kernel - 1 - residue) / stride + 1 : 0),
        begin(ceil_div(pad - residue, stride)),
        end(floor_div(size - 1 + pad - residue, stride) + 1) {}
  int64_t taps, begin, end;
};

// The incoming gradient as dx reads it, from the first output that any tap reads to the last.
PlaneLayout gradient_layout(const Conv2dShape& s) {
  const int64_t first_h = s.pad_h / s.stride_h - (s.KH - 1) / s.stride_h;
  const int64_t first_w = s.pad_w / s.stride_w - (s.KW - 1) / s.stride_w;
  const int64_t height = (s.H - 1 + s.pad_h) / s.stride_h - first_h + 1;
  const int64_t width = (s.W - 1 + s.pad_w) / s.stride_w - first_w + 1;
  return {s.N, s.OC, s.OH(), s.OW(), first_h, first_w, 1, 1, height, width};
}

// The outputs of the forward product.
template <class T>
CorrelationOf<T> forward_correlation(const Conv2dShape& s, const PlaneLayout& layout, const T* weights,
                                     const float* bias, Array y) {
  const int64_t OH = s.OH(), OW = s.OW(), K = s.C * s.KH * s.KW;
  std::vector<int64_t> weight_step(K);
  std::iota(weight_step.begin(), weight_step.end(), 0);
  const ImageOut out{y, 0, s.OC * OH * OW, OH * OW, OW, 1, bias};
  return {layout, s.OC, OH, OW, weights, K, weight_step, image_taps(s, layout), out};
}

// The inputs of one residue on each axis.
template <class T>
CorrelationOf<T> residue_correlation(const Conv2dShape& s, int64_t rh, int64_t rw, const PlaneLayout& layout,
                                     const T* weights, Array dx) {
  const Residue h(rh, s.H, s.KH, s.stride_h, s.pad_h), w(rw, s.W, s.KW, s.stride_w, s.pad_w);
  const int64_t ih = h.begin * s.stride_h + rh - s.pad_h, iw = w.begin * s.stride_w + rw - s.pad_w;
  const ImageOut out{dx, ih * s.W + iw, s.C * s.H * s.W, s.H * s.W, s.stride_h * s.W, s.stride_w, nullptr};
  CorrelationOf<T> c{layout, s.C, h.end - h.begin, w.end - w.begin, weights, s.KH * s.KW, {}, {}, out};
  for (int64_t oc = 0; oc < s.OC; ++oc) {
    for (int64_t a = 0; a < h.taps; ++a) {
      for (int64_t b = 0; b < w.taps; ++b) {
        c.weight_step.push_back((oc * s.C * s.KH + rh + a * s.stride_h) * s.KW + rw + b * s.stride_w);
        c.tap.push_back(layout.offset(oc, h.begin - a - layout.origin_h, w.begin - b - layout.origin_w));
      }
    }
  }
  return c;
}

// Calls body(c) for the part of dx of each residue.
template <class T, class Body>
void for_residues(const Conv2dShape& s, const PlaneLayout& layout, const T* weights, Array dx, Body body) {
  for (int64_t rh = 0; rh < s.stride_h; ++rh) {
    for (int64_t rw = 0; rw < s.stride_w; ++rw) {
      const CorrelationOf<T> c = residue_correlation(s, rh, rw, layout, weights, dx);
      if (c.rows > 0 && c.cols > 0) body(c);
    }
  }
}

const Bf16* bf16(ConstArray array) { return static_cast<const Bf16*>(array.data); }

}  // namespace

void conv2d_forward(const char* op_name, const Conv2dShape& shape, ConstArray x, ConstArray w,
                    const float* bias, Array y, const Arithmetic& arithmetic) {
  const Unit& unit = check(op_name, shape, x.dtype, w.dtype, y.dtype, arithmetic);
  if (shape.N == 0) return;
  const PlaneSource source{image_layout(shape), x, arithmetic};
  if (unit.tiles.multiply) {
    return correlate_by_tiles("conv2d_forward", forward_correlation(shape, source.layout, bf16(w), bias, y),
                              PlanesOf<Bf16>(source), unit.tiles, arithmetic);
  }
  const WidenedOperand weights = widen_weights(shape, w, arithmetic);
  const Correlation c = forward_correlation(shape, source.layout, weights.matrix().data, bias, y);
  if (arithmetic.unit == kFmaUnit) return correlate_chains("conv2d_forward", c, source, arithmetic);
  correlate_on_unit("conv2d_forward", c, UnitImages(source, unit), unit, unit_input(arithmetic, x.dtype),
                    arithmetic);
}

void conv2d_dx(const char* op_name, const Conv2dShape& shape, ConstArray dy, ConstArray w, Array dx,
               const Arithmetic& arithmetic) {
  const Unit& unit = check(op_name, shape, dy.dtype, w.dtype, dx.dtype, arithmetic);
  if (shape.N == 0) return;
  const PlaneSource source{gradient_layout(shape), dy, arithmetic};
  if (unit.tiles.multiply) {
    const PlanesOf<Bf16> planes(source);
    return for_residues(shape, source.layout, bf16(w), dx, [&](const CorrelationOf<Bf16>& c) {
      correlate_by_tiles("conv2d_dx", c, planes, unit.tiles, arithmetic);
    });
  }
  const WidenedOperand weights = widen_weights(shape, w, arithmetic);
  if (arithmetic.unit == kFmaUnit) {
    return for_residues(shape, source.layout, weights.matrix().data, dx,
                        [&](const Correlation& c) { correlate_chains("conv2d_dx", c, source, arithmetic); });
  }
  const UnitImages images(source, unit);
  for_residues(shape, source.layout, weights.matrix().data, dx, [&](const Correlation& c) {
    correlate_on_unit("conv2d_dx", c, images, unit, unit_input(arithmetic, dy.dtype), arithmetic);
  });
}

void conv2d_dw(const char* op_name, const Conv2dShape& shape, ConstArray x, ConstArray dy, Array dw,
               const Arithmetic& arithmetic) {
  const Unit& unit = check(op_name, shape, x.dtype, dy.dtype, dw.dtype, arithmetic);
  if (unit.tiles.multiply) {
    const PlanesOf<Bf16> image({image_layout(shape), x, arithmetic});
    return weight_gradient_by_tiles({shape, image, bf16(dy), dw}, unit.tiles, arithmetic);
  }
  const bool chains = arithmetic.unit == kFmaUnit;
  const Planes planes({image_layout(shape), x, arithmetic},
                      chains ? PlaneReads::kElements : PlaneReads::kVectors);
  weight_gradient({shape, planes, dy, dw, arithmetic}, unit, unit_input(arithmetic, x.dtype));
}

}  // namespace faultline
