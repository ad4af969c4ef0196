#include "engine/ops/reshape.h"

#include "engine/ops/samples.h"

namespace faultline {
namespace {

Tensors forward(const OpCall& call) { return {call.inputs[0].reshape(call.attributes.integers("shape"))}; }

Tensors backward(const OpGradCall& grad) { return {grad.grad_output.reshape(grad.call.inputs[0].shape())}; }

std::vector<Sample> samples(Fill fill) {
  return {{"scalar", {sample_tensor({1}, fill, 1)}, {{"shape", Shape{}}}},
          {"merged", {sample_tensor({3, 4, 5}, fill, 2)}, {{"shape", Shape{3, -1}}}},
          {"split", {sample_tensor({42}, fill, 3)}, {{"shape", Shape{2, 3, 7}}}}};
}

const RegisteredOp kReshape{
    "reshape",
    {.numeric_class = NumericClass::kAsIs,
     .input_names = {"x"},
     .check = [](const OpCall& call) { call.inputs[0].reshape(call.attributes.integers("shape")); },
     .forward = forward,
     .backward = backward,
     .forward_reference = forward,
     .backward_reference = backward,
     .error_bound = [](const OpCall& call) { return Tensor::zeros(forward(call)[0].shape(), Dtype::kF64); },
     .samples = samples}};

}  // namespace

Variable reshape(const Variable& x, const Shape& shape) {
  return apply(*kReshape, {x}, {{"shape", shape}})[0];
}

Variable flatten(const Variable& x) { return reshape(x, {x.value().dim(0), -1}); }

}  // namespace faultline
