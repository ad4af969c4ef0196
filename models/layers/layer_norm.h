#pragma once

#include <string>

#include "models/layers/parameters.h"

namespace faultline::models {

// Normalisation over the last axes, those of `shape`, with torch's defaults: weight 1, bias 0, eps 1e-5.
class LayerNorm {
 public:
  LayerNorm(Parameters& parameters, const std::string& name, const Shape& shape);
  Variable operator()(const Variable& x) const;

 private:
  std::string name_;
  Variable weight_, bias_;
};

}  // namespace faultline::models
