#include "amp/underflow.h"

#include <cmath>

#include "engine/ops/elementwise.h"

namespace faultline::amp {
namespace {

bool is_16_bit(Dtype dtype) { return is_float(dtype) && size_bytes(dtype) == 2; }

double smallest_normal(Dtype dtype) { return std::ldexp(1.0, 2 - (1 << (info(dtype).exponent_bits - 1))); }

Tensor widened(const Tensor& tensor) {
  return tensor.defined() && is_16_bit(tensor.dtype()) ? converted(tensor, Dtype::kF32) : tensor;
}

Tensors widened(const Tensors& tensors) {
  Tensors results;
  for (const Tensor& tensor : tensors) results.push_back(widened(tensor));
  return results;
}

// The gradients of the same call in f32.
Tensors gradients_in_f32(const OpEvent& event) {
  const OpCall call{widened(event.call.inputs), event.call.attributes, {}};
  const Tensors outputs = widened(event.grad_call->outputs);
  const Tensor grad_output = widened(event.grad_call->grad_output);
  return evaluate_backward(event.op, {call, outputs, grad_output, event.grad_call->wanted});
}

void add_counts(const Tensor& grad, const Tensor& wide, UnderflowCount& count) {
  const Tensor narrow_values = grad.contiguous(), wide_values = wide.contiguous();
  const float* exact = wide_values.data<float>();
  const double normal = smallest_normal(grad.dtype());
  visit(grad.dtype(), [&]<class T>() {
    const T* got = narrow_values.data<T>();
    for (int64_t i = 0; i < grad.size(); ++i) {
      const double value = std::fabs(widen(got[i]));
      count.nonzero += exact[i] != 0;
      count.lost += exact[i] != 0 && value == 0;
      count.subnormal += value > 0 && value < normal;
    }
  });
}

}  // namespace

void UnderflowObserver::on_op(const OpEvent& event) {
  if (!event.grad_call) return;
  bool any = false;
  for (const Tensor& grad : event.outputs) any |= grad.defined() && is_16_bit(grad.dtype());
  if (!any) return;
  const Tensors wide = gradients_in_f32(event);
  for (size_t i = 0; i < event.outputs.size(); ++i) {
    const Tensor& grad = event.outputs[i];
    if (!grad.defined() || !is_16_bit(grad.dtype())) continue;
    add_counts(grad, wide[i], counts_[event.name + "/d" + event.op.input_names.at(i)]);
  }
}

}  // namespace faultline::amp
