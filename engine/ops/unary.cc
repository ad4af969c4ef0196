#include "engine/ops/unary.h"

#include "engine/ops/error_bound.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

std::vector<Sample> samples(const UnaryOp& op, Fill fill) {
  const auto make = op.positive_samples ? positive_sample_tensor : sample_tensor;
  return {{"scalar", {make({}, fill, 1)}, {}},
          {"empty", {make({0, 3}, fill, 2)}, {}},
          {"odd", {make({3, 5, 7}, fill, 3)}, {}},
          {"large", {make({66000}, fill, 4)}, {}}};
}

Tensor error_bound(const UnaryOp& op, const OpDef& def, const OpCall& call) {
  const Tensor& x = call.inputs[0];
  Tensor bound = def.forward_reference({{x.to(Dtype::kF64)}, call.attributes, call.arithmetic})[0];
  for (int64_t i = 0; i < bound.size(); ++i) {
    const double exact = bound.at(i);
    bound.set(i, op.error ? rounded_error(exact, op.error(x.at(i), exact), x.dtype()) : 0);
  }
  return bound;
}

}  // namespace

OpDef unary_op_without_reference(const UnaryOp& op) {
  OpDef def;
  def.numeric_class = op.numeric_class;
  def.input_names = {"x"};
  def.check = [op](const OpCall& call) { check_one_float_format(op.name, call.inputs); };
  def.forward = [op](const OpCall& call) -> Tensors {
    const Tensor& x = call.inputs[0];
    return {run_elementwise(op.forward, op.name, x.shape(), x.dtype(), {x})};
  };
  def.backward = [op](const OpGradCall& grad) -> Tensors {
    const Tensor& x = grad.call.inputs[0];
    return {
        run_elementwise(op.backward, op.name, x.shape(), x.dtype(), {grad.grad_output, x, grad.outputs[0]})};
  };
  def.error_bound = [op](const OpCall& call) {
    return error_bound(op, Registry<OpDef>::instance().find(op.name), call);
  };
  def.samples = [op](Fill fill) { return samples(op, fill); };
  return def;
}

}  // namespace faultline
