#include "engine/ops/max_pool2d.h"

#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/pooling.h"

namespace faultline {
namespace {

Tensors forward(const OpCall& call) {
  const Tensor x = call.inputs[0].contiguous();
  Tensor y = Tensor::empty(pool_output_shape(call), x.dtype());
  max_pool2d(pool_shape(call), x.dtype(), x.raw(), y.mutable_raw(), pieces_of(y));
  return {y};
}

Tensors backward(const OpGradCall& grad) {
  const Tensor x = grad.call.inputs[0].contiguous(), dy = grad.grad_output.contiguous();
  Tensor dx = Tensor::empty(x.shape(), x.dtype());
  max_pool2d_backward(pool_shape(grad.call), x.dtype(), x.raw(), dy.raw(), dx.mutable_raw(), pieces_of(dx));
  return {dx};
}

int64_t winner(const std::vector<double>& x, const std::vector<int64_t>& window) {
  int64_t best = window.front();
  for (int64_t i : window) {
    if (x[i] > x[best] || (std::isnan(x[i]) && !std::isnan(x[best]))) best = i;
  }
  return best;
}

Tensors forward_reference(const OpCall& call) {
  const std::vector<double> x = call.inputs[0].to_vector();
  Tensor y = Tensor::empty(pool_output_shape(call), call.inputs[0].dtype());
  for_each_window(pool_shape(call), [&](int64_t output, const std::vector<int64_t>& window) {
    y.set(output, x[winner(x, window)]);
  });
  return {y};
}

Tensors backward_reference(const OpGradCall& grad) {
  const Tensor& x = grad.call.inputs[0];
  const std::vector<double> values = x.to_vector();
  Tensor dx = Tensor::empty(x.shape(), x.dtype());
  visit_compute(x.dtype(), [&]<class T>() {
    std::vector<T> sums(values.size());
    for_each_window(pool_shape(grad.call), [&](int64_t output, const std::vector<int64_t>& window) {
      sums[winner(values, window)] += static_cast<T>(grad.grad_output.at(output));
    });
    for (int64_t i = 0; i < dx.size(); ++i) dx.set(i, sums[i]);
  });
  return {dx};
}

const RegisteredOp kMaxPool2d{
    "max_pool2d",
    {
        .numeric_class = NumericClass::kAsIs,
        .input_names = {"x"},
        .check = [](const OpCall& call) { check_pool("max_pool2d", call); },
        .forward = forward,
        .backward = backward,
        .forward_reference = forward_reference,
        .backward_reference = backward_reference,
        .error_bound = [](const OpCall& call) { return Tensor::zeros(pool_output_shape(call), Dtype::kF64); },
        .samples = pool_samples,
    }};

}  // namespace

Variable max_pool2d(const Variable& x, const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                    const std::vector<int64_t>& padding) {
  return apply(*kMaxPool2d, {x}, pool_attributes(kernel, stride, padding))[0];
}

}  // namespace faultline
