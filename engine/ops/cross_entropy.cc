#include "engine/ops/cross_entropy.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/reduction.h"
#include "engine/ops/samples.h"
#include "engine/ops/softmax_rows.h"

namespace faultline {
namespace {

// outputs: the loss, and p = softmax(logits), in f32.

void check(const OpCall& call) {
  const Tensor &logits = call.inputs[0], &labels = call.inputs[1];
  if (!is_float(logits.dtype()) || labels.dtype() != Dtype::kI32) {
    throw Error(
        ErrorCode::kDtype, "cross_entropy",
        fmt::format("logits must be floats and labels i32: {}, {}", logits.describe(), labels.describe()));
  }
  if (logits.rank() != 2 || labels.shape() != Shape{logits.dim(0)} || logits.dim(1) == 0) {
    throw Error(
        ErrorCode::kShape, "cross_entropy",
        fmt::format("logits [N, C] and labels [N] expected: {}, {}", logits.describe(), labels.describe()));
  }
  for (int64_t n = 0; n < labels.size(); ++n) {
    const auto label = static_cast<int64_t>(labels.at(n));
    if (label < 0 || label >= logits.dim(1)) {
      throw Error(ErrorCode::kArgument, "cross_entropy",
                  fmt::format("label {} at index {} is not in 0 .. {}", label, n, logits.dim(1) - 1));
    }
  }
}

SoftmaxRows rows_of(const Tensor& logits, const Tensor& result) {
  return {logits.dtype(), logits.dim(0), logits.dim(1), pieces_of(result)};
}

Tensors forward(const OpCall& call) {
  const Tensor logits = call.inputs[0].contiguous(), labels = call.inputs[1].contiguous();
  Tensor losses = Tensor::empty({logits.dim(0)}, Dtype::kF32), p = Tensor::empty(logits.shape(), Dtype::kF32);
  rows_of(logits, p).cross_entropy(logits.raw(), labels.data<int32_t>(), losses.mutable_data<float>(),
                                   p.mutable_data<float>());
  Tensor loss = sum_axes(losses, {true}).reshape({});
  *loss.mutable_data<float>() /= static_cast<float>(logits.dim(0));
  return {loss, p};
}

Tensors backward(const OpGradCall& grad) {
  Tensors grads(2);
  if (!grad.wanted[0]) return grads;
  const Tensor &logits = grad.call.inputs[0], labels = grad.call.inputs[1].contiguous();
  const float scale = *grad.grad_output.data<float>() / static_cast<float>(logits.dim(0));
  grads[0] = Tensor::empty(logits.shape(), logits.dtype());
  rows_of(logits, grads[0])
      .cross_entropy_gradient(grad.outputs[1].data<float>(), labels.data<int32_t>(), scale,
                              grads[0].mutable_raw());
  return grads;
}

template <class T>
Tensors reference(const OpCall& call) {
  const Tensor logits = call.inputs[0].to(dtype_of<T>()).contiguous();
  const int64_t N = logits.dim(0), C = logits.dim(1);
  Tensor loss = Tensor::empty({}, dtype_of<T>()), p = Tensor::empty(logits.shape(), dtype_of<T>());
  std::vector<T> losses;
  for (int64_t n = 0; n < N; ++n) {
    const SoftmaxRow<T> row(logits.data<T>() + n * C, C);
    for (int64_t c = 0; c < C; ++c) p.mutable_data<T>()[n * C + c] = row.exponentials[c] / row.sum;
    losses.push_back(-(row.shifted[static_cast<size_t>(call.inputs[1].at(n))] - logarithm(row.sum)));
  }
  *loss.mutable_data<T>() = leaf_sum<T>(N, 1, [&](int64_t n) { return losses[n]; }) / static_cast<T>(N);
  return {loss, p};
}

Tensors forward_reference(const OpCall& call) {
  return visit_compute(call.inputs[0].dtype(), [&]<class T>() { return reference<T>(call); });
}

Tensors backward_reference(const OpGradCall& grad) {
  Tensors grads(2);
  if (!grad.wanted[0]) return grads;
  const Tensor &logits = grad.call.inputs[0], &labels = grad.call.inputs[1], &p = grad.outputs[1];
  grads[0] = Tensor::empty(logits.shape(), logits.dtype());
  visit_compute(logits.dtype(), [&]<class T>() {
    const T scale = *grad.grad_output.data<T>() / static_cast<T>(logits.dim(0));
    for (int64_t i = 0; i < p.size(); ++i) {
      const bool hit = labels.at(i / logits.dim(1)) == static_cast<double>(i % logits.dim(1));
      grads[0].set(i, (static_cast<T>(p.at(i)) - static_cast<T>(hit ? 1 : 0)) * scale);
    }
  });
  return grads;
}

Tensor error_bound(const OpCall& call) {
  const Tensor logits = call.inputs[0].to(Dtype::kF64).contiguous();
  const int64_t N = logits.dim(0), C = logits.dim(1);
  double rows = 0, magnitude = 0;
  for (int64_t n = 0; n < N; ++n) {
    const double* x = logits.data<double>() + n * C;
    const SoftmaxRow<double> row(x, C);
    const double loss = std::log(row.sum) - row.shifted[static_cast<size_t>(call.inputs[1].at(n))];
    const double range = -*std::min_element(row.shifted.begin(), row.shifted.end());
    rows += gamma_f32(2 * range + C / 64.0 + 10 + 2 * std::log(C) + loss);
    magnitude += loss;
  }
  const double sum = gamma_f32(sum_roundings({N}, {true}) + 1) * (magnitude + rows);
  return Tensor::full({}, Dtype::kF64, (rows + sum) / static_cast<double>(N));
}

std::vector<Sample> samples(Fill fill) {
  const auto make = [&](const char* name, int64_t N, int64_t C) {
    return Sample{name, {sample_tensor({N, C}, fill, 1), sample_indices({N}, C, 2)}, {}};
  };
  return {make("one sample", 1, 2), make("odd batch", 19, 10), make("many classes", 5, 130),
          make("large", 7000, 10)};
}

const RegisteredOp kCrossEntropy{"cross_entropy",
                                 {.numeric_class = NumericClass::kF32,
                                  .input_names = {"logits", "labels"},
                                  .check = check,
                                  .forward = forward,
                                  .backward = backward,
                                  .forward_reference = forward_reference,
                                  .backward_reference = backward_reference,
                                  .error_bound = error_bound,
                                  .samples = samples}};

}  // namespace

Variable cross_entropy(const Variable& logits, const Variable& labels) {
  return apply(*kCrossEntropy, {logits, labels})[0];
}

}  // namespace faultline
