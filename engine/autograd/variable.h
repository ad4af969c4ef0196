#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/autograd/op.h"

namespace faultline {

// A tensor that remembers how it was computed. Copies share value and gradient.
class Variable {
 public:
  struct State;

  Variable() = default;
  explicit Variable(Tensor value, bool requires_grad = false, std::string name = "");

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const;
  void set_value(Tensor value);  // parameters, after an optimizer step
  const Tensor& grad() const;    // undefined before backward, or where none arrived
  void set_grad(Tensor grad);
  bool requires_grad() const;
  const std::string& name() const;               // of a parameter or input; "" for results
  State* state() const { return state_.get(); }  // identity

  // Propagates `seed` (ones if undefined) to every variable below that requires a gradient. Gradients of
  // leaves are stored, replacing older ones. Gradients that meet at one variable are added in f32 in the
  // reverse order of forward use and rounded once to the gradient's format (numerics.md 2.6). The tape is
  // released.
  void backward(Tensor seed = {}) const;

 private:
  std::shared_ptr<State> state_;
};

// Evaluates an op through the precision hook, shows it to the observer and, where an input requires a
// gradient, puts it on the tape. Returns one variable per output; only the first carries a gradient.
std::vector<Variable> apply(const OpDef& op, std::vector<Variable> inputs, Attributes attributes = {});

}  // namespace faultline
