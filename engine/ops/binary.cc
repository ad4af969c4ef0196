#include "engine/ops/binary.h"

#include <cmath>

#include "engine/ops/error_bound.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

std::vector<Sample> samples(const BinaryOp& op, Fill fill) {
  const auto make = [&](const char* name, const Shape& lhs, const Shape& rhs) {
    const auto rhs_tensor = op.positive_rhs ? positive_sample_tensor : sample_tensor;
    return Sample{name, {sample_tensor(lhs, fill, 1), rhs_tensor(rhs, fill, 2)}, {}};
  };
  return {make("scalars", {}, {}),
          make("empty", {0, 3}, {3}),
          make("odd", {3, 5, 7}, {3, 5, 7}),
          make("bias", {19, 7}, {7}),
          make("channel", {3, 5, 4, 3}, {5, 1, 1}),
          make("both", {3, 1, 5}, {4, 1}),
          make("scalar lhs", {}, {2, 9}),
          make("large", {33, 2000}, {2000}),
          make("large, samples", {9, 8000}, {9, 1})};
}

// One rounding in f32, one into the stored format.
Tensor error_bound(const OpDef& def, const OpCall& call) {
  const Dtype dtype = call.inputs[0].dtype();
  Tensor bound =
      def.forward_reference({{call.inputs[0].to(Dtype::kF64), call.inputs[1].to(Dtype::kF64)}, {}, {}})[0];
  for (int64_t i = 0; i < bound.size(); ++i) {
    const double exact = bound.at(i), rounding = gamma_f32(1) * std::fabs(exact) + 0x1p-150;
    bound.set(i, rounded_error(exact, rounding, dtype));
  }
  return bound;
}

Tensors backward(const BinaryOp& op, const OpGradCall& grad) {
  const ElementwiseKernel kernels[] = {op.lhs_gradient, op.rhs_gradient};
  const Tensor& dy = grad.grad_output;
  Tensors grads(2);
  for (size_t k = 0; k < 2; ++k) {
    const Tensor& input = grad.call.inputs[k];
    if (!grad.wanted[k]) continue;
    if (op.passes_gradient && input.shape() == dy.shape() && input.dtype() == dy.dtype()) {
      grads[k] = dy;
      continue;
    }
    const Dtype terms = input.shape() == dy.shape() ? input.dtype() : Dtype::kF32;
    const Tensor each = run_elementwise(kernels[k], op.name, dy.shape(), terms,
                                        {dy, grad.call.inputs[0], grad.call.inputs[1]});
    grads[k] = sum_to(each, input.shape(), input.dtype());
  }
  return grads;
}

}  // namespace

OpDef binary_op_without_reference(const BinaryOp& op) {
  OpDef def;
  def.numeric_class = NumericClass::kWidest;
  def.input_names = {"lhs", "rhs"};
  def.check = [op](const OpCall& call) {
    check_one_float_format(op.name, call.inputs);
    broadcast(op.name, call.inputs[0].shape(), call.inputs[1].shape());
  };
  def.forward = [op](const OpCall& call) -> Tensors {
    const Tensor &a = call.inputs[0], &b = call.inputs[1];
    return {
        run_elementwise(op.forward, op.name, broadcast(op.name, a.shape(), b.shape()), a.dtype(), {a, b})};
  };
  def.backward = [op](const OpGradCall& grad) { return backward(op, grad); };
  def.error_bound = [op](const OpCall& call) {
    return error_bound(Registry<OpDef>::instance().find(op.name), call);
  };
  def.samples = [op](Fill fill) { return samples(op, fill); };
  return def;
}

}  // namespace faultline
