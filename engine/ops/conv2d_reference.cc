#include "engine/ops/conv2d_reference.h"

#include <cmath>

#include "engine/ops/elementwise.h"
#include "engine/ops/product_reference.h"

namespace faultline {
namespace {

Shape output_shape(const Conv2dShape& s) { return {s.N, s.OC, s.OH(), s.OW()}; }

// One sample's patches [C * KH * KW, OH * OW]: what each tap reads for each output, padding as +0.
template <class T>
std::vector<T> patches(const Conv2dShape& s, const T* image) {
  const int64_t P = s.OH() * s.OW();
  std::vector<T> matrix(s.C * s.KH * s.KW * P);
  for (size_t i = 0; i < matrix.size(); ++i) {
    const int64_t tap = i / P, position = i % P;
    const int64_t kw = tap % s.KW, kh = tap / s.KW % s.KH, c = tap / s.KW / s.KH;
    const int64_t h = position / s.OW() * s.stride_h - s.pad_h + kh;
    const int64_t w = position % s.OW() * s.stride_w - s.pad_w + kw;
    if (h >= 0 && h < s.H && w >= 0 && w < s.W) matrix[i] = image[(c * s.H + h) * s.W + w];
  }
  return matrix;
}

// Rows (or columns) of x that the same taps of the kernel hit: those whose padded position is `residue`
// modulo the stride, and the taps that are so.
struct Residue {
  Residue(int64_t residue, int64_t size, int64_t kernel, int64_t stride, int64_t pad) {
    for (int64_t i = 0; i < size; ++i) {
      if ((i + pad) % stride == residue) inputs.push_back(i);
    }
    for (int64_t k = residue; k < kernel; k += stride) taps.push_back(k);
  }
  std::vector<int64_t> inputs, taps;
};

// dx at the inputs of one residue of each axis: w [C, K] times what the K taps read from one sample's dy.
template <class T>
void add_residue(const Conv2dShape& s, const OpCall& call, const Residue& rows, const Residue& columns,
                 const std::vector<T>& w, const T* dy, std::vector<T>& dx, int64_t sample) {
  const int64_t per_channel = rows.taps.size() * columns.taps.size(), K = s.OC * per_channel;
  const int64_t P = rows.inputs.size() * columns.inputs.size();
  std::vector<T> weights(s.C * K), reads(K * P);
  for (int64_t k = 0; k < K; ++k) {
    const int64_t oc = k / per_channel, kh = rows.taps[k % per_channel / columns.taps.size()];
    const int64_t kw = columns.taps[k % columns.taps.size()];
    for (int64_t c = 0; c < s.C; ++c) weights[c * K + k] = w[((oc * s.C + c) * s.KH + kh) * s.KW + kw];
    for (int64_t p = 0; p < P; ++p) {
      const int64_t h = rows.inputs[p / columns.inputs.size()] + s.pad_h - kh;
      const int64_t v = columns.inputs[p % columns.inputs.size()] + s.pad_w - kw;
      const bool inside = h >= 0 && v >= 0 && h / s.stride_h < s.OH() && v / s.stride_w < s.OW();
      if (inside) reads[k * P + p] = dy[(oc * s.OH() + h / s.stride_h) * s.OW() + v / s.stride_w];
    }
  }
  const Dtype dtype = call.inputs[0].dtype();
  const std::vector<T> sums =
      reference_product<T>({s.C, P, K}, std::move(weights), std::move(reads), dtype, dtype, call.arithmetic);
  for (int64_t i = 0; i < s.C * P; ++i) {
    const int64_t row = rows.inputs[i % P / columns.inputs.size()];
    dx[((sample * s.C + i / P) * s.H + row) * s.W + columns.inputs[i % columns.inputs.size()]] = sums[i];
  }
}

template <class T>
Tensor input_gradient(const Conv2dShape& s, const OpGradCall& grad) {
  const Tensor& x = grad.call.inputs[0];
  const std::vector<T> dy = widened<T>(grad.grad_output), w = widened<T>(grad.call.inputs[1]);
  std::vector<T> dx(x.size());
  for (int64_t residue = 0; residue < s.stride_h * s.stride_w; ++residue) {
    const Residue rows(residue / s.stride_w, s.H, s.KH, s.stride_h, s.pad_h);
    const Residue columns(residue % s.stride_w, s.W, s.KW, s.stride_w, s.pad_w);
    if (rows.inputs.empty() || columns.inputs.empty()) continue;
    for (int64_t n = 0; n < s.N; ++n) {
      add_residue(s, grad.call, rows, columns, w, dy.data() + n * s.OC * s.OH() * s.OW(), dx, n);
    }
  }
  return rounded(x.shape(), x.dtype(), dx);
}

// dw [OC, taps] = dy [OC, K] times the patches [K, taps], K over samples and positions.
template <class T>
Tensor weight_gradient(const Conv2dShape& s, const OpGradCall& grad) {
  const Tensor& w = grad.call.inputs[1];
  const std::vector<T> x = widened<T>(grad.call.inputs[0]), dy = widened<T>(grad.grad_output);
  const int64_t P = s.OH() * s.OW(), K = s.N * P, taps = s.C * s.KH * s.KW;
  std::vector<T> left(s.OC * K), right(K * taps);
  for (int64_t n = 0; n < s.N; ++n) {
    const std::vector<T> sample = patches(s, x.data() + n * s.C * s.H * s.W);
    for (int64_t p = 0; p < P; ++p) {
      for (int64_t oc = 0; oc < s.OC; ++oc) left[oc * K + n * P + p] = dy[(n * s.OC + oc) * P + p];
      for (int64_t t = 0; t < taps; ++t) right[(n * P + p) * taps + t] = sample[t * P + p];
    }
  }
  return rounded(w.shape(), w.dtype(),
                 reference_product<T>({s.OC, taps, K, kLeafSamples * P, true}, std::move(left),
                                      std::move(right), w.dtype(), w.dtype(), grad.call.arithmetic));
}

template <class T>
Tensor bias_gradient(const Conv2dShape& s, const OpGradCall& grad) {
  const std::vector<T> dy = widened<T>(grad.grad_output);
  const int64_t P = s.OH() * s.OW();
  std::vector<T> db;
  for (int64_t oc = 0; oc < s.OC; ++oc) {
    const auto term = [&](int64_t i) { return dy[(i / P * s.OC + oc) * P + i % P]; };
    db.push_back(reference_gradient_sum<T>(s.N, P, grad.call.arithmetic, term));
  }
  return rounded({s.OC}, grad.grad_output.dtype(), db);
}

}  // namespace

Conv2dShape conv2d_shape(const OpCall& call) {
  const Shape &x = call.inputs[0].shape(), &w = call.inputs[1].shape();
  const std::vector<int64_t>& stride = call.attributes.integers("stride");
  const std::vector<int64_t>& padding = call.attributes.integers("padding");
  return {x[0], x[1], x[2], x[3], w[0], w[2], w[3], stride[0], stride[1], padding[0], padding[1]};
}

Tensors conv2d_forward_reference(const OpCall& call) {
  const Conv2dShape s = conv2d_shape(call);
  const int64_t P = s.OH() * s.OW(), K = s.C * s.KH * s.KW;
  const Dtype dtype = call.inputs[0].dtype();
  const Tensor& b = call.inputs[2];
  Tensor y = Tensor::empty(output_shape(s), dtype);
  visit_compute(dtype, [&]<class T>() {
    const std::vector<T> x = widened<T>(call.inputs[0]), w = widened<T>(call.inputs[1]);
    for (int64_t n = 0; n < s.N; ++n) {
      const std::vector<T> sums = reference_product<T>(
          {s.OC, P, K}, w, patches(s, x.data() + n * s.C * s.H * s.W), dtype, dtype, call.arithmetic);
      for (int64_t i = 0; i < s.OC * P; ++i) {
        y.set(n * s.OC * P + i, b.defined() ? sums[i] + static_cast<T>(b.at(i / P)) : sums[i]);
      }
    }
  });
  return {y};
}

Tensors conv2d_backward_reference(const OpGradCall& grad) {
  const Conv2dShape s = conv2d_shape(grad.call);
  return visit_compute(grad.grad_output.dtype(), [&]<class T>() -> Tensors {
    return {grad.wanted[0] ? input_gradient<T>(s, grad) : Tensor(),
            grad.wanted[1] ? weight_gradient<T>(s, grad) : Tensor(),
            grad.wanted[2] ? bias_gradient<T>(s, grad) : Tensor()};
  });
}

Dot conv2d_forward_dot(const OpCall& call, int64_t element) {
  const Conv2dShape s = conv2d_shape(call);
  const int64_t P = s.OH() * s.OW(), K = s.C * s.KH * s.KW;
  const int64_t oc = element / P % s.OC, image = s.C * s.H * s.W;
  const std::vector<float> x = strided_elements(call.inputs[0], element / P / s.OC * image, 1, image);
  const std::vector<float> reads = patches(s, x.data());
  Dot dot{strided_elements(call.inputs[1], oc * K, 1, K), std::vector<float>(K)};
  for (int64_t k = 0; k < K; ++k) dot.b[k] = reads[k * P + element % P];
  dot.has_bias = call.inputs[2].defined();
  if (dot.has_bias) dot.bias = static_cast<float>(call.inputs[2].at(oc));
  return dot;
}

namespace {

Dot input_gradient_dot(const Conv2dShape& s, const OpGradCall& grad, int64_t element) {
  const int64_t w = element % s.W + s.pad_w, h = element / s.W % s.H + s.pad_h;
  const int64_t c = element / s.W / s.H % s.C, n = element / s.W / s.H / s.C;
  Dot dot;
  for (int64_t oc = 0; oc < s.OC; ++oc) {
    for (int64_t kh = h % s.stride_h; kh < s.KH; kh += s.stride_h) {
      for (int64_t kw = w % s.stride_w; kw < s.KW; kw += s.stride_w) {
        const int64_t oh = (h - kh) / s.stride_h, ow = (w - kw) / s.stride_w;
        const bool inside = h >= kh && w >= kw && oh < s.OH() && ow < s.OW();
        const double dy = inside ? grad.grad_output.at(((n * s.OC + oc) * s.OH() + oh) * s.OW() + ow) : 0.0;
        dot.a.push_back(static_cast<float>(grad.call.inputs[1].at(((oc * s.C + c) * s.KH + kh) * s.KW + kw)));
        dot.b.push_back(static_cast<float>(dy));
      }
    }
  }
  return dot;
}

Dot weight_gradient_dot(const Conv2dShape& s, const OpGradCall& grad, int64_t element) {
  const int64_t P = s.OH() * s.OW(), taps = s.C * s.KH * s.KW, image = s.C * s.H * s.W;
  Dot dot;
  for (int64_t n = 0; n < s.N; ++n) {
    const std::vector<float> x = strided_elements(grad.call.inputs[0], n * image, 1, image);
    const std::vector<float> reads = patches(s, x.data());
    const std::vector<float> dy = strided_elements(grad.grad_output, (n * s.OC + element / taps) * P, 1, P);
    dot.a.insert(dot.a.end(), dy.begin(), dy.end());
    const auto read = reads.begin() + element % taps * P;
    dot.b.insert(dot.b.end(), read, read + P);
  }
  dot.k_per_leaf = kLeafSamples * P;
  dot.gradient_sum = true;
  return dot;
}

}  // namespace

std::optional<Dot> conv2d_backward_dot(const OpGradCall& grad, size_t input, int64_t element) {
  const Conv2dShape s = conv2d_shape(grad.call);
  if (input > 1) return std::nullopt;
  return input == 0 ? input_gradient_dot(s, grad, element) : weight_gradient_dot(s, grad, element);
}

Tensor conv2d_error_bound(const OpCall& call) {
  const Conv2dShape s = conv2d_shape(call);
  const int64_t P = s.OH() * s.OW(), K = s.C * s.KH * s.KW;
  const std::vector<double> x = call.inputs[0].to_vector(), w = call.inputs[1].to_vector();
  const Tensor& b = call.inputs[2];
  Tensor bound = Tensor::empty(output_shape(s), Dtype::kF64);
  for (int64_t n = 0; n < s.N; ++n) {
    const std::vector<double> reads = patches(s, x.data() + n * s.C * s.H * s.W);
    for (int64_t i = 0; i < s.OC * P; ++i) {
      double exact = b.defined() ? b.at(i / P) : 0, magnitude = 0;
      for (int64_t k = 0; k < K; ++k) {
        const double term = w[i / P * K + k] * reads[k * P + i % P];
        exact += term;
        magnitude += std::fabs(term);
      }
      bound.set(n * s.OC * P + i,
                product_error(exact, magnitude, K, call.inputs[0].dtype(), call.arithmetic));
    }
  }
  return bound;
}

}  // namespace faultline
