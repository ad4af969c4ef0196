#include "engine/autograd/op.h"

#include <algorithm>

namespace faultline {
namespace {

bool any_f64(const OpCall& call) {
  return std::any_of(call.inputs.begin(), call.inputs.end(),
                     [](const Tensor& t) { return t.defined() && t.dtype() == Dtype::kF64; });
}

}  // namespace

const char* name(NumericClass numeric_class) {
  switch (numeric_class) {
    case NumericClass::kProduct:
      return "product";
    case NumericClass::kF32:
      return "f32";
    case NumericClass::kWidest:
      return "widest";
    case NumericClass::kAsIs:
      break;
  }
  return "as is";
}

Tensors evaluate_forward(const OpDef& op, const OpCall& call) {
  if (op.check) op.check(call);
  return any_f64(call) ? op.forward_reference(call) : op.forward(call);
}

Tensors evaluate_backward(const OpDef& op, const OpGradCall& call) {
  return any_f64(call.call) ? op.backward_reference(call) : op.backward(call);
}

RegisteredOp::RegisteredOp(const std::string& name, OpDef def) : name_(name) {
  def.name = name;
  Registry<OpDef>::instance().add(name, std::move(def));
}

}  // namespace faultline
