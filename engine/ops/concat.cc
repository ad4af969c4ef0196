#include "engine/ops/concat.h"

#include <cstring>

#include "engine/base/error.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

int axis_of(const OpCall& call) {
  const int64_t axis = call.attributes.integer("axis"), rank = call.inputs[0].rank();
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

void check(const OpCall& call) {
  if (call.inputs.empty()) throw Error(ErrorCode::kArgument, "concat", "needs an input");
  check_one_float_format("concat", call.inputs);
  const Tensor& first = call.inputs[0];
  const int axis = axis_of(call);
  if (axis < 0 || axis >= first.rank()) {
    throw Error(ErrorCode::kArgument, "concat",
                "no axis " + call.attributes.describe() + " in " + first.describe());
  }
  for (const Tensor& input : call.inputs) {
    Shape shape = input.shape();
    if (input.rank() == first.rank()) shape[axis] = first.dim(axis);
    if (shape != first.shape()) {
      throw Error(ErrorCode::kShape, "concat",
                  "sizes differ off axis " + std::to_string(axis) + ": " + first.describe() + " and " +
                      input.describe());
    }
  }
}

Shape result_shape(const OpCall& call) {
  Shape shape = call.inputs[0].shape();
  shape[axis_of(call)] = 0;
  for (const Tensor& input : call.inputs) shape[axis_of(call)] += input.dim(axis_of(call));
  return shape;
}

Tensors forward(const OpCall& call) {
  const int axis = axis_of(call);
  Tensor y = Tensor::empty(result_shape(call), call.inputs[0].dtype());
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= y.dim(i);
  if (y.size() == 0) return {y};
  const int64_t row_bytes = y.size_bytes() / outer;
  std::byte* to = static_cast<std::byte*>(y.mutable_raw());
  for (const Tensor& input : call.inputs) {
    const Tensor x = input.contiguous();
    const int64_t bytes = x.size_bytes() / outer;
    const std::byte* from = static_cast<const std::byte*>(x.raw());
    for (int64_t row = 0; row < outer; ++row) {
      std::memcpy(to + row * row_bytes, from + row * bytes, static_cast<size_t>(bytes));
    }
    to += bytes;
  }
  return {y};
}

// Element by element through the index of each.
Tensors forward_reference(const OpCall& call) {
  const int axis = axis_of(call);
  Tensor y = Tensor::empty(result_shape(call), call.inputs[0].dtype());
  int64_t begin = 0;
  for (const Tensor& x : call.inputs) {
    Tensor part = y.slice(axis, begin, begin + x.dim(axis));
    for (int64_t i = 0; i < x.size(); ++i) part.set(i, x.at(i));
    begin += x.dim(axis);
  }
  return {y};
}

Tensors backward(const OpGradCall& grad) {
  const int axis = axis_of(grad.call);
  Tensors grads;
  int64_t begin = 0;
  for (size_t i = 0; i < grad.call.inputs.size(); ++i) {
    const int64_t end = begin + grad.call.inputs[i].dim(axis);
    grads.push_back(grad.wanted[i] ? grad.grad_output.slice(axis, begin, end).contiguous() : Tensor());
    begin = end;
  }
  return grads;
}

std::vector<Sample> samples(Fill fill) {
  const auto make = [&](const char* name, const std::vector<Shape>& shapes, int64_t axis) {
    Sample sample{name, {}, {{"axis", axis}}};
    for (const Shape& shape : shapes) {
      sample.inputs.push_back(sample_tensor(shape, fill, static_cast<int>(sample.inputs.size())));
    }
    return sample;
  };
  return {make("one", {{3}}, 0), make("samples", {{2, 3}, {1, 3}, {4, 3}}, 0),
          make("channels", {{2, 1, 3}, {2, 2, 3}}, 1), make("last axis, one empty", {{2, 3}, {2, 0}}, -1)};
}

const RegisteredOp kConcat{
    "concat",
    {.numeric_class = NumericClass::kWidest,
     .input_names = {"x"},
     .check = check,
     .forward = forward,
     .backward = backward,
     .forward_reference = forward_reference,
     .backward_reference = backward,
     .error_bound = [](const OpCall& call) { return Tensor::zeros(result_shape(call), Dtype::kF64); },
     .samples = samples}};

}  // namespace

Variable concat(const std::vector<Variable>& inputs, int axis) {
  return apply(*kConcat, inputs, {{"axis", int64_t{axis}}})[0];
}

}  // namespace faultline
