#include "engine/ops/matmul.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/kernels/product.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/product_reference.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

// `batch` products of M x K by K x N. A two-dimensional rhs is one product over all rows of lhs.
struct MatmulShape {
  int64_t batch, M, K, N;
  int64_t rows_per_leaf;  // of drhs; 0 if no sample is among its terms
};

MatmulShape shape_of(const OpCall& call) {
  const Tensor &lhs = call.inputs[0], &rhs = call.inputs[1];
  const int64_t K = lhs.dim(-1), N = rhs.dim(-1);
  int64_t leading = 1;
  for (int axis = 0; axis + 2 < lhs.rank(); ++axis) leading *= lhs.dim(axis);
  if (rhs.rank() > 2) return {leading, lhs.dim(-2), K, N, 0};
  int64_t rows_per_sample = 1;
  for (int axis = 1; axis + 1 < lhs.rank(); ++axis) rows_per_sample *= lhs.dim(axis);
  return {1, leading * lhs.dim(-2), K, N, kLeafSamples * rows_per_sample};
}

Shape output_shape(const OpCall& call) {
  Shape shape = call.inputs[0].shape();
  shape.back() = call.inputs[1].dim(-1);
  return shape;
}

void check(const OpCall& call) {
  const Tensor &lhs = call.inputs[0], &rhs = call.inputs[1];
  check_product_formats("matmul", call);
  const std::string shapes = "lhs " + lhs.describe() + ", rhs " + rhs.describe();
  if (lhs.rank() < 2 || rhs.rank() < 2) {
    throw Error(ErrorCode::kShape, "matmul", "operands must have at least two axes: " + shapes);
  }
  if (lhs.dim(-1) != rhs.dim(-2)) throw Error(ErrorCode::kShape, "matmul", "inner sizes differ: " + shapes);
  const bool leading_alike =
      lhs.rank() == rhs.rank() && std::equal(lhs.shape().begin(), lhs.shape().end() - 2, rhs.shape().begin());
  if (rhs.rank() > 2 && !leading_alike) {
    throw Error(ErrorCode::kShape, "matmul", "leading sizes differ: " + shapes);
  }
}

// A contiguous [batch, rows, columns], and how a product reads it.
struct Matrices {
  const Tensor& tensor;
  int64_t rows, columns;
  bool transposed = false;
};

Operand operand(const Matrices& m, int64_t batch) {
  const Dtype dtype = m.tensor.dtype();
  const char* data =
      static_cast<const char*>(m.tensor.raw()) + batch * m.rows * m.columns * size_bytes(dtype);
  return m.transposed ? Operand{data, dtype, 1, m.columns} : Operand{data, dtype, m.columns, 1};
}

// Writes `batch` products of order.M x order.K by order.K x order.N.
Tensor products(int64_t batch, const ProductOrder& order, const Matrices& a, const Matrices& b,
                const Shape& shape, const Arithmetic& arithmetic) {
  Tensor out = Tensor::empty(shape, a.tensor.dtype());
  ResultPieces* const pieces = pieces_of(out);
  for (int64_t i = 0; i < batch; ++i) {
    ProductArgs args{order.M, order.N, order.K, operand(a, i), operand(b, i)};
    args.pieces = pieces;
    args.first_element = i * order.M * order.N;
    args.out = static_cast<char*>(out.mutable_raw()) + args.first_element * size_bytes(out.dtype());
    args.out_dtype = out.dtype();
    args.out_row_stride = order.N;
    args.k_per_leaf = order.k_per_leaf;
    args.gradient_sum = order.gradient_sum;
    args.arithmetic = arithmetic;
    product("matmul", args);
  }
  return out;
}

Tensors forward(const OpCall& call) {
  const MatmulShape s = shape_of(call);
  const Tensor lhs = call.inputs[0].contiguous(), rhs = call.inputs[1].contiguous();
  return {products(s.batch, {s.M, s.N, s.K}, {lhs, s.M, s.K}, {rhs, s.K, s.N}, output_shape(call),
                   call.arithmetic)};
}

Tensors backward(const OpGradCall& grad) {
  const MatmulShape s = shape_of(grad.call);
  const Arithmetic& arithmetic = grad.call.arithmetic;
  const Tensor lhs = grad.call.inputs[0].contiguous(), rhs = grad.call.inputs[1].contiguous();
  const Tensor dy = grad.grad_output.contiguous();
  Tensors grads(2);
  if (grad.wanted[0]) {
    grads[0] =
        products(s.batch, {s.M, s.K, s.N}, {dy, s.M, s.N}, {rhs, s.K, s.N, true}, lhs.shape(), arithmetic);
  }
  if (grad.wanted[1]) {
    grads[1] = products(s.batch, {s.K, s.N, s.M, s.rows_per_leaf, s.rows_per_leaf > 0}, {lhs, s.M, s.K, true},
                        {dy, s.M, s.N}, rhs.shape(), arithmetic);
  }
  return grads;
}

// One batch's matrix, widened.
template <class T>
std::vector<T> matrix(const Matrices& m, int64_t batch) {
  const Tensor view = m.tensor.reshape({-1, m.rows, m.columns}).slice(0, batch, batch + 1);
  return widened<T>(m.transposed ? view.transpose(1, 2) : view);
}

Tensor reference_products(int64_t batch, const ProductOrder& order, const Matrices& a, const Matrices& b,
                          const Shape& shape, const Arithmetic& arithmetic) {
  const Dtype dtype = a.tensor.dtype();
  return visit_compute(dtype, [&]<class T>() {
    std::vector<T> values;
    for (int64_t i = 0; i < batch; ++i) {
      const std::vector<T> sums =
          reference_product<T>(order, matrix<T>(a, i), matrix<T>(b, i), dtype, dtype, arithmetic);
      values.insert(values.end(), sums.begin(), sums.end());
    }
    return rounded(shape, dtype, values);
  });
}

Dot forward_dot(const OpCall& call, int64_t element) {
  const MatmulShape s = shape_of(call);
  const int64_t row = element / s.N, batch = row / s.M;
  return {strided_elements(call.inputs[0], row * s.K, 1, s.K),
          strided_elements(call.inputs[1], batch * s.K * s.N + element % s.N, s.N, s.K)};
}

std::optional<Dot> backward_dot(const OpGradCall& grad, size_t input, int64_t element) {
  const MatmulShape s = shape_of(grad.call);
  const Tensor &lhs = grad.call.inputs[0], &rhs = grad.call.inputs[1], &dy = grad.grad_output;
  if (input == 0) {
    const int64_t row = element / s.K, batch = row / s.M;
    return Dot{strided_elements(dy, row * s.N, 1, s.N),
               strided_elements(rhs, (batch * s.K + element % s.K) * s.N, 1, s.N)};
  }
  const int64_t batch = element / (s.K * s.N), k = element / s.N % s.K;
  Dot dot{strided_elements(lhs, batch * s.M * s.K + k, s.K, s.M),
          strided_elements(dy, batch * s.M * s.N + element % s.N, s.N, s.M)};
  dot.k_per_leaf = s.rows_per_leaf;
  dot.gradient_sum = s.rows_per_leaf > 0;
  return dot;
}

Tensors forward_reference(const OpCall& call) {
  const MatmulShape s = shape_of(call);
  return {reference_products(s.batch, {s.M, s.N, s.K}, {call.inputs[0], s.M, s.K}, {call.inputs[1], s.K, s.N},
                             output_shape(call), call.arithmetic)};
}

Tensors backward_reference(const OpGradCall& grad) {
  const MatmulShape s = shape_of(grad.call);
  const Tensor &lhs = grad.call.inputs[0], &rhs = grad.call.inputs[1], &dy = grad.grad_output;
  Tensors grads(2);
  if (grad.wanted[0]) {
    grads[0] = reference_products(s.batch, {s.M, s.K, s.N}, {dy, s.M, s.N}, {rhs, s.K, s.N, true},
                                  lhs.shape(), grad.call.arithmetic);
  }
  if (grad.wanted[1]) {
    grads[1] = reference_products(s.batch, {s.K, s.N, s.M, s.rows_per_leaf, s.rows_per_leaf > 0},
                                  {lhs, s.M, s.K, true}, {dy, s.M, s.N}, rhs.shape(), grad.call.arithmetic);
  }
  return grads;
}

Tensor error_bound(const OpCall& call) {
  const MatmulShape s = shape_of(call);
  const std::vector<double> lhs = call.inputs[0].to_vector(), rhs = call.inputs[1].to_vector();
  Tensor bound = Tensor::empty(output_shape(call), Dtype::kF64);
  for (int64_t i = 0; i < bound.size(); ++i) {
    const int64_t row = i / s.N, batch = row / s.M;
    double exact = 0, magnitude = 0;
    for (int64_t k = 0; k < s.K; ++k) {
      const double term = lhs[row * s.K + k] * rhs[(batch * s.K + k) * s.N + i % s.N];
      exact += term;
      magnitude += std::fabs(term);
    }
    bound.set(i, product_error(exact, magnitude, s.K, call.inputs[0].dtype(), call.arithmetic));
  }
  return bound;
}

std::vector<Sample> samples(Fill fill) {
  const auto inputs = [&](const Shape& lhs, const Shape& rhs) -> Tensors {
    return {sample_tensor(lhs, fill, 0), sample_tensor(rhs, fill, 1)};
  };
  return {{"one", inputs({1, 1}, {1, 1}), {}},
          {"odd sizes", inputs({13, 37}, {37, 11}), {}},
          {"blocks of k", inputs({3, 1100}, {1100, 5}), {}},
          {"rows within samples", inputs({9, 3, 20}, {20, 7}), {}},
          {"batch", inputs({3, 2, 5, 8}, {3, 2, 8, 4}), {}},
          {"large", inputs({1100, 60}, {60, 21}), {}}};
}

const RegisteredOp kMatmul{"matmul",
                           {
                               .numeric_class = NumericClass::kProduct,
                               .input_names = {"lhs", "rhs"},
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

Variable matmul(const Variable& lhs, const Variable& rhs) { return apply(*kMatmul, {lhs, rhs})[0]; }

}  // namespace faultline
