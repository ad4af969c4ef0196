#include "models/layers/batch_norm.h"

#include "engine/autograd/execution.h"

namespace faultline::models {

BatchNorm::BatchNorm(Parameters& parameters, const std::string& name, int64_t channels)
    : name_(name),
      weight_(parameters.constant(name + ".weight", {channels}, 1)),
      bias_(parameters.constant(name + ".bias", {channels}, 0)),
      running_mean_(parameters.buffer(name + ".running_mean", {channels}, 0)),
      running_var_(parameters.buffer(name + ".running_var", {channels}, 1)) {}

Variable BatchNorm::operator()(const Variable& x, const BatchNormOptions& options) {
  const Scope scope(name_);
  const BatchNormResult result = batch_norm(x, weight_, bias_, running_mean_, running_var_, options);
  if (execution().training) {
    running_mean_.set_value(result.running_mean);
    running_var_.set_value(result.running_var);
  }
  return result.y;
}

}  // namespace faultline::models
