#include "engine/ops/axis_reduction.h"

#include <cmath>

#include "engine/ops/elementwise.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/reduction.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

std::vector<bool> axes_of(const AxisReductionOp& op, const OpCall& call) {
  return reduced_axes(op.name, call.inputs[0].shape(), call.attributes.integers("axes"));
}

Shape result_shape(const AxisReductionOp& op, const OpCall& call) {
  const Shape& shape = call.inputs[0].shape();
  const std::vector<bool> reduced = axes_of(op, call);
  if (call.attributes.integer("keepdim")) return kept_shape(shape, reduced);
  Shape kept;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (!reduced[axis]) kept.push_back(shape[axis]);
  }
  return kept;
}

// values / n, each one f32 (f64) division.
Tensor divided(const Tensor& values, int64_t n) {
  return visit_compute(values.dtype(), [&]<class T>() {
    Tensor result = values.to(dtype_of<T>()).clone();
    for (int64_t i = 0; i < result.size(); ++i) result.mutable_data<T>()[i] /= static_cast<T>(n);
    return result;
  });
}

using SumFunction = Tensor (*)(const Tensor&, const std::vector<bool>&);

Tensors forward(const AxisReductionOp& op, SumFunction sum, const OpCall& call) {
  const Tensor& x = call.inputs[0];
  const std::vector<bool> reduced = axes_of(op, call);
  Tensor y = sum(x, reduced);
  if (op.divides) y = divided(y, reduced_count(x.shape(), reduced));
  return {y.to(x.dtype()).reshape(result_shape(op, call))};
}

Tensors backward(const AxisReductionOp& op, const OpGradCall& grad) {
  const Tensor& x = grad.call.inputs[0];
  const std::vector<bool> reduced = axes_of(op, grad.call);
  Tensor dy = grad.grad_output.reshape(kept_shape(x.shape(), reduced));
  if (op.divides) dy = divided(dy, reduced_count(x.shape(), reduced)).to(x.dtype());
  return {dy.expand(x.shape()).contiguous()};
}

Tensor error_bound(const AxisReductionOp& op, const OpCall& call) {
  const Tensor x = call.inputs[0].to(Dtype::kF64);
  Tensor magnitudes = x.clone();
  for (int64_t i = 0; i < x.size(); ++i) magnitudes.set(i, std::fabs(x.at(i)));
  const std::vector<bool> reduced = axes_of(op, call);
  const double gamma = gamma_f32(sum_roundings(x.shape(), reduced) + (op.divides ? 1 : 0));
  const auto evaluate = [&](const Tensor& values) {
    return forward(op, sum_axes_reference, {{values}, call.attributes, {}})[0];
  };
  const Tensor exact = evaluate(x), magnitude = evaluate(magnitudes);
  Tensor bound = exact.clone();
  for (int64_t i = 0; i < bound.size(); ++i) {
    bound.set(i, rounded_error(exact.at(i), gamma * magnitude.at(i), call.inputs[0].dtype()));
  }
  return bound;
}

std::vector<Sample> samples(Fill fill) {
  const auto make = [&](const char* name, const Shape& shape, const Shape& axes, bool keepdim) {
    return Sample{name, {sample_tensor(shape, fill, 1)}, {{"axes", axes}, {"keepdim", int64_t{keepdim}}}};
  };
  return {make("scalar", {}, {}, false),
          make("all of a vector", {77}, {}, false),
          make("last axis", {3, 2, 150}, {-1}, true),
          make("first axis", {21, 13}, {0}, false),
          make("middle axis", {3, 70, 5}, {1}, false),
          make("channels", {11, 3, 5, 5}, {0, 2, 3}, true),
          make("outer and inner", {5, 7, 9}, {0, -1}, false),
          make("large columns", {75, 900}, {0}, false),
          make("large rows", {80, 850}, {1}, false),
          make("large", {33, 2100}, {}, false)};
}

}  // namespace

OpDef axis_reduction_op(const AxisReductionOp& op) {
  OpDef def;
  def.numeric_class = op.numeric_class;
  def.input_names = {"x"};
  def.check = [op](const OpCall& call) {
    check_one_float_format(op.name, call.inputs);
    axes_of(op, call);
  };
  def.forward = [op](const OpCall& call) { return forward(op, sum_axes, call); };
  def.backward = [op](const OpGradCall& grad) { return backward(op, grad); };
  def.forward_reference = [op](const OpCall& call) { return forward(op, sum_axes_reference, call); };
  def.backward_reference = def.backward;
  def.error_bound = [op](const OpCall& call) { return error_bound(op, call); };
  def.samples = samples;
  return def;
}

}  // namespace faultline
