#pragma once

#include <string>
#include <vector>

#include "engine/autograd/op.h"
#include "engine/base/error.h"

namespace faultline {

// An op of the registry called by name, without a tape.
inline Tensors forward(const std::string& name, const Tensors& inputs, const Attributes& attributes = {},
                       const Arithmetic& arithmetic = {}) {
  return evaluate_forward(Registry<OpDef>::instance().find(name), {inputs, attributes, arithmetic});
}

// All gradients for `dy`, those of integers and undefined inputs apart.
inline Tensors backward(const std::string& name, const Tensors& inputs, const Tensor& dy,
                        const Attributes& attributes = {}, const Arithmetic& arithmetic = {}) {
  const OpDef& op = Registry<OpDef>::instance().find(name);
  const OpCall call{inputs, attributes, arithmetic};
  const Tensors outputs = evaluate_forward(op, call);
  std::vector<bool> wanted;
  for (const Tensor& input : inputs) wanted.push_back(input.defined() && is_float(input.dtype()));
  return evaluate_backward(op, {call, outputs, dy, wanted});
}

// What the call says when it refuses; "" if it does not.
inline std::string refusal(const std::string& name, const Tensors& inputs, const Attributes& attributes = {},
                           const Arithmetic& arithmetic = {}) {
  try {
    forward(name, inputs, attributes, arithmetic);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace faultline
