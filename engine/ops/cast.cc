#include "engine/ops/cast.h"

#include "engine/base/error.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

Dtype target(const OpCall& call) { return dtype_from_name(call.attributes.text("to")); }

void check(const OpCall& call) {
  const Dtype to = target(call);
  if (!is_float(call.inputs[0].dtype()) || !is_float(to) || !info(to).storable) {
    throw Error(ErrorCode::kDtype, "cast",
                call.inputs[0].describe() + " to " + name(to) + ": both must be stored floats");
  }
}

// The one rounding is the definition, in f64 too.
Tensor error_bound(const OpCall& call) { return Tensor::zeros(call.inputs[0].shape(), Dtype::kF64); }

std::vector<Sample> samples(Fill fill) {
  std::vector<Sample> samples;
  for (const char* to : {"f16", "bf16", "f32", "f64"}) {
    samples.push_back({std::string("odd to ") + to, {sample_tensor({3, 7}, fill, 1)}, {{"to", to}}});
  }
  for (const char* to : {"f16", "bf16"}) {
    samples.push_back({std::string("large to ") + to, {sample_tensor({66001}, fill, 2)}, {{"to", to}}});
  }
  return samples;
}

const RegisteredOp kCast{
    "cast",
    {.numeric_class = NumericClass::kAsIs,
     .input_names = {"x"},
     .check = check,
     .forward = [](const OpCall& call) -> Tensors { return {converted(call.inputs[0], target(call))}; },
     .backward = [](const OpGradCall& grad) -> Tensors {
       return {converted(grad.grad_output, grad.call.inputs[0].dtype())};
     },
     .forward_reference = [](const OpCall& call) -> Tensors { return {call.inputs[0].to(target(call))}; },
     .backward_reference = [](const OpGradCall& grad) -> Tensors {
       return {grad.grad_output.to(grad.call.inputs[0].dtype())};
     },
     .error_bound = error_bound,
     .samples = samples}};

}  // namespace

Variable cast(const Variable& x, Dtype dtype) {
  return apply(*kCast, {x}, {{"to", std::string(name(dtype))}})[0];
}

}  // namespace faultline
