#include "engine/optim/optimizer.h"

#include <fmt/format.h>

#include "engine/base/error.h"
#include "engine/optim/update.h"

namespace faultline {

void Optimizer::set_state(const NamedTensors& state) {
  state_.clear();
  for (const auto& [name, tensor] : state) state_[name] = tensor.clone();
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config) {
  return Registry<OptimizerKind>::instance().find(config.name).make(config);
}

void check_setting(const std::string& where, const std::string& setting, double value, double minimum,
                   double maximum) {
  if (value >= minimum && value <= maximum) return;
  throw Error(
      ErrorCode::kArgument, where,
      fmt::format("{} = {} is out of range, it must be from {} to {}", setting, value, minimum, maximum));
}

void check_gradients(const std::string& optimizer, const std::vector<Variable>& parameters) {
  for (const Variable& parameter : parameters) {
    const Tensor &value = parameter.value(), &grad = parameter.grad();
    if (!grad.defined()) {
      throw Error(ErrorCode::kArgument, optimizer,
                  parameter.name() + " has no gradient, call backward first");
    }
    if (value.dtype() != Dtype::kF32 || grad.dtype() != Dtype::kF32 || grad.shape() != value.shape()) {
      throw Error(ErrorCode::kDtype, optimizer,
                  fmt::format("{} is {} with gradient {}, both must be f32 of one shape", parameter.name(),
                              value.describe(), grad.describe()));
    }
  }
}

void check_update(const std::string& op, const OpCall& call) {
  const bool enough = call.inputs.size() >= 2 && call.inputs[0].defined();
  if (!enough) throw Error(ErrorCode::kArgument, op, "needs a parameter and its gradient");
  const Tensor& w = call.inputs[0];
  for (const Tensor& input : call.inputs) {
    if (!input.defined() || input.shape() != w.shape()) {
      throw Error(ErrorCode::kShape, op,
                  fmt::format("shapes differ: parameter {}, {}", w.describe(), input.describe()));
    }
    if (input.dtype() != w.dtype() || (w.dtype() != Dtype::kF32 && w.dtype() != Dtype::kF64)) {
      throw Error(ErrorCode::kDtype, op,
                  fmt::format("takes f32, got parameter {}, {}", w.describe(), input.describe()));
    }
  }
}

}  // namespace faultline
