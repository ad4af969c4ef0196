#include "engine/ops/transpose.h"

#include "engine/base/error.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

Tensor exchanged(const Tensor& x, const Attributes& attributes) {
  int axes[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t axis = attributes.integer(i == 0 ? "axis_a" : "axis_b");
    axes[i] = static_cast<int>(axis < 0 ? axis + x.rank() : axis);
    if (axes[i] < 0 || axes[i] >= x.rank()) {
      throw Error(ErrorCode::kArgument, "transpose",
                  "no axis " + std::to_string(axis) + " in " + x.describe());
    }
  }
  return x.transpose(axes[0], axes[1]);
}

Tensors forward(const OpCall& call) { return {exchanged(call.inputs[0], call.attributes).contiguous()}; }

Tensors backward(const OpGradCall& grad) {
  return {exchanged(grad.grad_output, grad.call.attributes).contiguous()};
}

std::vector<Sample> samples(Fill fill) {
  const auto make = [&](const char* name, const Shape& shape, int64_t a, int64_t b) {
    return Sample{name, {sample_tensor(shape, fill, 1)}, {{"axis_a", a}, {"axis_b", b}}};
  };
  return {make("matrix", {3, 5}, 0, 1), make("outer and last", {2, 3, 4}, 0, -1),
          make("one axis", {7}, 0, 0)};
}

const RegisteredOp kTranspose{
    "transpose",
    {.numeric_class = NumericClass::kAsIs,
     .input_names = {"x"},
     .check = [](const OpCall& call) { exchanged(call.inputs[0], call.attributes); },
     .forward = forward,
     .backward = backward,
     .forward_reference = forward,
     .backward_reference = backward,
     .error_bound = [](const OpCall& call) { return Tensor::zeros(forward(call)[0].shape(), Dtype::kF64); },
     .samples = samples}};

}  // namespace

Variable transpose(const Variable& x, int axis_a, int axis_b) {
  return apply(*kTranspose, {x}, {{"axis_a", int64_t{axis_a}}, {"axis_b", int64_t{axis_b}}})[0];
}

}  // namespace faultline
