#pragma once

#include <functional>

#include "engine/ops/elementwise.h"

namespace faultline {

// What an element-wise op of one input brings beside its formula.
struct UnaryOp {
  const char* name;  // for messages and thread statistics
  NumericClass numeric_class;
  ElementwiseKernel forward;   // y from x
  ElementwiseKernel backward;  // dx from dy, x, y
  // Bound of the absolute error of the f32 value y at x, before the rounding to the stored format; empty
  // where the result is exact.
  std::function<double(double x, double y)> error = {};
  bool positive_samples = false;
};

OpDef unary_op_without_reference(const UnaryOp& op);

// Makes the op from its definition: Formula::value(x) and Formula::gradient(dy, x, y), templates on
// T = float or double. y is the stored output.
template <class Formula>
OpDef unary_op(const UnaryOp& op) {
  OpDef def = unary_op_without_reference(op);
  def.forward_reference = [](const OpCall& call) -> Tensors {
    const Tensor& x = call.inputs[0];
    return {map_reference(
        x.shape(), x.dtype(), [](auto v) { return Formula::value(v); }, x)};
  };
  def.backward_reference = [](const OpGradCall& grad) -> Tensors {
    const Tensor& x = grad.call.inputs[0];
    const auto gradient = [](auto dy, auto v, auto y) { return Formula::gradient(dy, v, y); };
    return {map_reference(x.shape(), x.dtype(), gradient, grad.grad_output, x, grad.outputs[0])};
  };
  return def;
}

}  // namespace faultline
