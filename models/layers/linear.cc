#include "models/layers/linear.h"

#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/ops/linear.h"

namespace faultline::models {

Linear::Linear(Parameters& parameters, const std::string& name, int64_t inputs, int64_t outputs)
    : name_(name) {
  const double bound = 1 / std::sqrt(static_cast<double>(inputs));
  weight_ = parameters.uniform(name + ".weight", {outputs, inputs}, bound);
  bias_ = parameters.uniform(name + ".bias", {outputs}, bound);
}

Variable Linear::operator()(const Variable& x) const {
  const Scope scope(name_);
  return linear(x, weight_, bias_);
}

}  // namespace faultline::models
