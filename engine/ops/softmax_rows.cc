#include "engine/ops/softmax_rows.h"

#include <algorithm>

#include "engine/base/error.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

Tensors forward(const SoftmaxOp& op, const OpCall& call) {
  const RowView view(call);
  const Tensor x = view.to_rows(call.inputs[0]);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  (view.kernel(y).*op.forward)(x.raw(), y.mutable_raw());
  return {view.from_rows(y)};
}

Tensors backward(const SoftmaxOp& op, const OpGradCall& grad) {
  const RowView view(grad.call);
  const Tensor dy = view.to_rows(grad.grad_output), y = view.to_rows(grad.outputs[0]);
  Tensor dx = Tensor::empty(y.shape(), y.dtype());
  (view.kernel(dx).*op.gradient)(dy.raw(), y.raw(), dx.mutable_raw());
  return {view.from_rows(dx)};
}

Tensor error_bound(const SoftmaxOp& op, const OpCall& call) {
  const RowView view(call);
  const Tensor x = call.inputs[0].to(Dtype::kF64);
  const OpDef& def = Registry<OpDef>::instance().find(op.name);
  const Tensor y = view.to_rows(def.forward_reference({{x}, call.attributes, {}})[0]), rows = view.to_rows(x);
  Tensor bound = Tensor::empty(y.shape(), Dtype::kF64);
  const int64_t n = view.columns();
  for (int64_t i = 0; i < y.size(); ++i) {
    const double* row = rows.data<double>() + i / n * n;
    const auto [least, most] = std::minmax_element(row, row + n);
    const double error = op.error(y.at(i), *most - *least, static_cast<double>(n));
    bound.set(i, rounded_error(y.at(i), error, call.inputs[0].dtype()));
  }
  return view.from_rows(bound);
}

std::vector<Sample> samples(Fill fill) {
  const auto make = [&](const char* name, const Shape& shape, int64_t axis) {
    return Sample{name, {sample_tensor(shape, fill, 1)}, {{"axis", axis}}};
  };
  return {make("one class", {4, 1}, 1),       make("ten classes", {5, 10}, -1),
          make("first axis", {7, 3}, 0),      make("middle axis", {2, 5, 3}, 1),
          make("many classes", {3, 200}, -1), make("large", {600, 110}, 1)};
}

}  // namespace

OpDef softmax_op_without_reference(const SoftmaxOp& op) {
  OpDef def;
  def.numeric_class = NumericClass::kF32;
  def.input_names = {"x"};
  def.check = [op](const OpCall& call) {
    check_one_float_format(op.name, call.inputs);
    if (!RowView(call).valid()) {
      throw Error(ErrorCode::kArgument, op.name,
                  "no axis " + call.attributes.describe() + " in " + call.inputs[0].describe());
    }
  };
  def.forward = [op](const OpCall& call) { return forward(op, call); };
  def.backward = [op](const OpGradCall& grad) { return backward(op, grad); };
  def.error_bound = [op](const OpCall& call) { return error_bound(op, call); };
  def.samples = samples;
  return def;
}

}  // namespace faultline
