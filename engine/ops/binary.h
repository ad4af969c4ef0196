#pragma once

#include "engine/ops/elementwise.h"
#include "engine/ops/reduction.h"

namespace faultline {

// What an element-wise op of two inputs that broadcast brings beside its formula. Gradients are summed in f32
// over the axes along which an input was broadcast, and rounded once.
struct BinaryOp {
  const char* name;
  ElementwiseKernel forward;       // y from a, b
  ElementwiseKernel lhs_gradient;  // the terms of da from dy, a, b
  ElementwiseKernel rhs_gradient;
  bool passes_gradient = false;  // da and db are dy
  bool positive_rhs = false;     // samples keep the divisor away from zero
};

OpDef binary_op_without_reference(const BinaryOp& op);

// Makes the op from its definition: Formula::value(a, b), Formula::lhs_gradient(dy, a, b) and
// Formula::rhs_gradient(dy, a, b), templates on T = float or double; value is one rounded operation.
template <class Formula>
OpDef binary_op(const BinaryOp& op) {
  OpDef def = binary_op_without_reference(op);
  def.forward_reference = [name = op.name](const OpCall& call) -> Tensors {
    const Tensor &a = call.inputs[0], &b = call.inputs[1];
    const auto value = [](auto x, auto y) { return Formula::value(x, y); };
    return {map_reference(broadcast(name, a.shape(), b.shape()), a.dtype(), value, a, b)};
  };
  def.backward_reference = [](const OpGradCall& grad) -> Tensors {
    const Tensor &a = grad.call.inputs[0], &b = grad.call.inputs[1], &dy = grad.grad_output;
    const Dtype terms = a.dtype() == Dtype::kF64 ? Dtype::kF64 : Dtype::kF32;
    const auto gradient = [&](const Tensor& input, auto formula) {
      return sum_to_reference(map_reference(dy.shape(), terms, formula, dy, a, b), input.shape(),
                              input.dtype());
    };
    Tensors grads(2);
    if (grad.wanted[0])
      grads[0] = gradient(a, [](auto d, auto x, auto y) { return Formula::lhs_gradient(d, x, y); });
    if (grad.wanted[1])
      grads[1] = gradient(b, [](auto d, auto x, auto y) { return Formula::rhs_gradient(d, x, y); });
    return grads;
  };
  return def;
}

}  // namespace faultline
