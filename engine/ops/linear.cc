#include "engine/ops/linear.h"

#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/kernels/product.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/product_reference.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

// x as [rows, in]: `rows_per_sample` rows for each of `samples`.
struct LinearShape {
  int64_t samples, rows_per_sample, in, out;

  int64_t rows() const { return samples * rows_per_sample; }
  int64_t rows_per_leaf() const { return kLeafSamples * rows_per_sample; }
};

LinearShape shape_of(const OpCall& call) {
  const Tensor &x = call.inputs[0], &w = call.inputs[1];
  int64_t rows_per_sample = 1;
  for (int axis = 1; axis + 1 < x.rank(); ++axis) rows_per_sample *= x.dim(axis);
  return {x.dim(0), rows_per_sample, w.dim(1), w.dim(0)};
}

Shape output_shape(const OpCall& call) {
  Shape shape = call.inputs[0].shape();
  shape.back() = call.inputs[1].dim(0);
  return shape;
}

void check(const OpCall& call) {
  const Tensor &x = call.inputs[0], &w = call.inputs[1], &b = call.inputs[2];
  check_product_formats("linear", call);
  if (x.rank() < 2 || w.rank() != 2 || x.dim(-1) != w.dim(1)) {
    throw Error(ErrorCode::kShape, "linear",
                "x must be [N, .., in] and w [out, in]: x " + x.describe() + ", w " + w.describe());
  }
  if (b.defined() && b.shape() != Shape{w.dim(0)}) {
    throw Error(ErrorCode::kShape, "linear", "b must be [out]: w " + w.describe() + ", b " + b.describe());
  }
}

Tensors forward(const OpCall& call) {
  const LinearShape s = shape_of(call);
  const Tensor x = call.inputs[0].contiguous(), w = call.inputs[1].contiguous();
  const Tensor b = call.inputs[2].defined() ? converted(call.inputs[2], Dtype::kF32).contiguous() : Tensor();
  Tensor y = Tensor::empty(output_shape(call), x.dtype());
  ProductArgs args{s.rows(), s.out, s.in, {x.raw(), x.dtype(), s.in, 1}, {w.raw(), w.dtype(), 1, s.in}};
  if (b.defined()) args.bias_n = b.data<float>();
  args.out = y.mutable_raw();
  args.pieces = pieces_of(y);
  args.out_dtype = y.dtype();
  args.out_row_stride = s.out;
  args.arithmetic = call.arithmetic;
  product("linear", args);
  return {y};
}

Tensor input_gradient(const OpCall& call, const Tensor& dy) {
  const LinearShape s = shape_of(call);
  const Tensor w = call.inputs[1].contiguous();
  Tensor dx = Tensor::empty(call.inputs[0].shape(), dy.dtype());
  ProductArgs args{s.rows(), s.in, s.out, {dy.raw(), dy.dtype(), s.out, 1}, {w.raw(), w.dtype(), s.in, 1}};
  args.out = dx.mutable_raw();
  args.pieces = pieces_of(dx);
  args.out_dtype = dx.dtype();
  args.out_row_stride = s.in;
  args.arithmetic = call.arithmetic;
  product("linear", args);
  return dx;
}

Tensor weight_gradient(const OpCall& call, const Tensor& dy) {
  const LinearShape s = shape_of(call);
  const Tensor x = call.inputs[0].contiguous();
  Tensor dw = Tensor::empty(call.inputs[1].shape(), dy.dtype());
  ProductArgs args{s.out, s.in, s.rows(), {dy.raw(), dy.dtype(), 1, s.out}, {x.raw(), x.dtype(), s.in, 1}};
  args.out = dw.mutable_raw();
  args.pieces = pieces_of(dw);
  args.out_dtype = dw.dtype();
  args.out_row_stride = s.in;
  args.k_per_leaf = s.rows_per_leaf();
  args.gradient_sum = true;
  args.arithmetic = call.arithmetic;
  product("linear", args);
  return dw;
}

Tensor bias_gradient(const OpCall& call, const Tensor& dy) {
  const LinearShape s = shape_of(call);
  Tensor db = Tensor::empty({s.out}, Dtype::kF32);
  channel_sum("linear.db", {s.samples, s.rows_per_sample, s.out, 1}, dy.dtype(), dy.raw(), call.arithmetic,
              db.mutable_data<float>());
  return converted(db, dy.dtype());
}

Tensors backward(const OpGradCall& grad) {
  const Tensor dy = grad.grad_output.contiguous();
  return {grad.wanted[0] ? input_gradient(grad.call, dy) : Tensor(),
          grad.wanted[1] ? weight_gradient(grad.call, dy) : Tensor(),
          grad.wanted[2] ? bias_gradient(grad.call, dy) : Tensor()};
}

Dot forward_dot(const OpCall& call, int64_t element) {
  const LinearShape s = shape_of(call);
  const int64_t row = element / s.out, column = element % s.out;
  Dot dot{strided_elements(call.inputs[0], row * s.in, 1, s.in),
          strided_elements(call.inputs[1], column * s.in, 1, s.in)};
  dot.has_bias = call.inputs[2].defined();
  if (dot.has_bias) dot.bias = static_cast<float>(call.inputs[2].at(column));
  return dot;
}

std::optional<Dot> backward_dot(const OpGradCall& grad, size_t input, int64_t element) {
  const LinearShape s = shape_of(grad.call);
  const Tensor &x = grad.call.inputs[0], &w = grad.call.inputs[1], &dy = grad.grad_output;
  const int64_t row = element / s.in, column = element % s.in;
  if (input == 0)
    return Dot{strided_elements(dy, row * s.out, 1, s.out), strided_elements(w, column, s.in, s.out)};
  if (input > 1) return std::nullopt;
  Dot dot{strided_elements(dy, row, s.out, s.rows()), strided_elements(x, column, s.in, s.rows())};
  dot.k_per_leaf = s.rows_per_leaf();
  dot.gradient_sum = true;
  return dot;
}

Tensors forward_reference(const OpCall& call) {
  const LinearShape s = shape_of(call);
  const Dtype dtype = call.inputs[0].dtype();
  return visit_compute(dtype, [&]<class T>() -> Tensors {
    const std::vector<T> w_transposed = widened<T>(call.inputs[1].transpose(0, 1));
    const std::vector<T> sums = reference_product<T>({s.rows(), s.out, s.in}, widened<T>(call.inputs[0]),
                                                     w_transposed, dtype, dtype, call.arithmetic);
    Tensor y = Tensor::empty(output_shape(call), dtype);
    for (int64_t i = 0; i < y.size(); ++i) {
      const Tensor& b = call.inputs[2];
      y.set(i, b.defined() ? sums[i] + static_cast<T>(b.at(i % s.out)) : sums[i]);
    }
    return {y};
  });
}

Tensors backward_reference(const OpGradCall& grad) {
  const OpCall& call = grad.call;
  const LinearShape s = shape_of(call);
  const Tensor &x = call.inputs[0], &w = call.inputs[1], &dy = grad.grad_output;
  return visit_compute(x.dtype(), [&]<class T>() -> Tensors {
    const std::vector<T> dy_values = widened<T>(dy);
    const std::vector<T> dy_transposed = widened<T>(dy.reshape({s.rows(), s.out}).transpose(0, 1));
    Tensors grads(3);
    if (grad.wanted[0]) {
      grads[0] = rounded(x.shape(), x.dtype(),
                         reference_product<T>({s.rows(), s.in, s.out}, dy_values, widened<T>(w), x.dtype(),
                                              x.dtype(), call.arithmetic));
    }
    if (grad.wanted[1]) {
      grads[1] = rounded(w.shape(), x.dtype(),
                         reference_product<T>({s.out, s.in, s.rows(), s.rows_per_leaf(), true}, dy_transposed,
                                              widened<T>(x), x.dtype(), x.dtype(), call.arithmetic));
    }
    if (grad.wanted[2]) {
      grads[2] = Tensor::empty({s.out}, x.dtype());
      for (int64_t o = 0; o < s.out; ++o) {
        const auto term = [&](int64_t row) { return dy_values[row * s.out + o]; };
        grads[2].set(o, reference_gradient_sum<T>(s.samples, s.rows_per_sample, call.arithmetic, term));
      }
    }
    return grads;
  });
}

Tensor error_bound(const OpCall& call) {
  const LinearShape s = shape_of(call);
  const Tensor& b = call.inputs[2];
  const std::vector<double> x = call.inputs[0].to_vector(), w = call.inputs[1].to_vector();
  Tensor bound = Tensor::empty(output_shape(call), Dtype::kF64);
  for (int64_t i = 0; i < bound.size(); ++i) {
    const int64_t row = i / s.out, o = i % s.out;
    double exact = b.defined() ? b.at(o) : 0, magnitude = 0;
    for (int64_t k = 0; k < s.in; ++k) {
      const double term = x[row * s.in + k] * w[o * s.in + k];
      exact += term;
      magnitude += std::fabs(term);
    }
    bound.set(i, product_error(exact, magnitude, s.in, call.inputs[0].dtype(), call.arithmetic));
  }
  return bound;
}

std::vector<Sample> samples(Fill fill) {
  const auto inputs = [&](const Shape& x, int64_t out, bool bias) -> Tensors {
    return {sample_tensor(x, fill, 0), sample_tensor({out, x.back()}, fill, 1),
            bias ? sample_tensor({out}, fill, 2) : Tensor()};
  };
  return {{"one", inputs({1, 1}, 1, true), {}},
          {"odd sizes", inputs({13, 37}, 11, true), {}},
          {"no bias", inputs({3, 5}, 2, false), {}},
          {"rows within samples", inputs({9, 3, 20}, 7, true), {}},
          {"blocks of k", inputs({3, 1100}, 5, true), {}},
          {"large", inputs({1100, 60}, 21, true), {}}};
}

const RegisteredOp kLinear{"linear",
                           {
                               .numeric_class = NumericClass::kProduct,
                               .input_names = {"x", "w", "b"},
                               .check = check,
                               .forward = forward,
                               .backward = backward,
                               .forward_reference = forward_reference,
                               .backward_reference = backward_reference,
                               .error_bound = error_bound,
                               .forward_dot = forward_dot,
                               .backward_dot = backward_dot,
                               .samples = samples,
                           }};

}  // namespace

Variable linear(const Variable& x, const Variable& w, const Variable& b) {
  return apply(*kLinear, {x, w, b})[0];
}

}  // namespace faultline
