#include "engine/ops/avg_pool2d.h"

#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/pooling.h"

namespace faultline {
namespace {

Tensors forward(const OpCall& call) {
  const Tensor x = call.inputs[0].contiguous();
  Tensor y = Tensor::empty(pool_output_shape(call), x.dtype());
  avg_pool2d(pool_shape(call), x.dtype(), x.raw(), y.mutable_raw(), pieces_of(y));
  return {y};
}

Tensors backward(const OpGradCall& grad) {
  const Tensor& x = grad.call.inputs[0];
  const Tensor dy = grad.grad_output.contiguous();
  Tensor dx = Tensor::empty(x.shape(), x.dtype());
  avg_pool2d_backward(pool_shape(grad.call), x.dtype(), dy.raw(), dx.mutable_raw(), pieces_of(dx));
  return {dx};
}

int64_t size_of(const PoolShape& shape) { return shape.kernel_h * shape.kernel_w; }

Tensors forward_reference(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  const PoolShape shape = pool_shape(call);
  Tensor y = Tensor::empty(pool_output_shape(call), x.dtype());
  visit_compute(x.dtype(), [&]<class T>() {
    for_each_window(shape, [&](int64_t output, const std::vector<int64_t>& window) {
      T sum = 0;
      for (int64_t i : window) sum += static_cast<T>(x.at(i));
      y.set(output, sum / static_cast<T>(size_of(shape)));
    });
  });
  return {y};
}

Tensors backward_reference(const OpGradCall& grad) {
  const PoolShape shape = pool_shape(grad.call);
  const Tensor& x = grad.call.inputs[0];
  Tensor dx = Tensor::empty(x.shape(), x.dtype());
  visit_compute(x.dtype(), [&]<class T>() {
    std::vector<T> sums(dx.size());
    for_each_window(shape, [&](int64_t output, const std::vector<int64_t>& window) {
      const T share = static_cast<T>(grad.grad_output.at(output)) / static_cast<T>(size_of(shape));
      for (int64_t i : window) sums[i] += share;
    });
    for (int64_t i = 0; i < dx.size(); ++i) dx.set(i, sums[i]);
  });
  return {dx};
}

// size - 1 additions and a division, each with one rounding (Higham 2002, section 3.1).
Tensor error_bound(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  const PoolShape shape = pool_shape(call);
  const double size = static_cast<double>(size_of(shape));
  Tensor bound = Tensor::empty(pool_output_shape(call), Dtype::kF64);
  for_each_window(shape, [&](int64_t output, const std::vector<int64_t>& window) {
    double sum = 0, magnitude = 0;
    for (int64_t i : window) {
      sum += x.at(i);
      magnitude += std::fabs(x.at(i));
    }
    bound.set(output, rounded_error(sum / size, gamma_f32(size) * magnitude / size, x.dtype()));
  });
  return bound;
}

const RegisteredOp kAvgPool2d{"avg_pool2d",
                              {
                                  .numeric_class = NumericClass::kAsIs,
                                  .input_names = {"x"},
                                  .check = [](const OpCall& call) { check_pool("avg_pool2d", call); },
                                  .forward = forward,
                                  .backward = backward,
                                  .forward_reference = forward_reference,
                                  .backward_reference = backward_reference,
                                  .error_bound = error_bound,
                                  .samples = pool_samples,
                              }};

}  // namespace

Variable avg_pool2d(const Variable& x, const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                    const std::vector<int64_t>& padding) {
  return apply(*kAvgPool2d, {x}, pool_attributes(kernel, stride, padding))[0];
}

}  // namespace faultline
