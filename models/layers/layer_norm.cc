#include "models/layers/layer_norm.h"

#include "engine/autograd/execution.h"
#include "engine/ops/layer_norm.h"

namespace faultline::models {

LayerNorm::LayerNorm(Parameters& parameters, const std::string& name, const Shape& shape)
    : name_(name),
      weight_(parameters.constant(name + ".weight", shape, 1)),
      bias_(parameters.constant(name + ".bias", shape, 0)) {}

Variable LayerNorm::operator()(const Variable& x) const {
  const Scope scope(name_);
  return layer_norm(x, weight_, bias_);
}

}  // namespace faultline::models
