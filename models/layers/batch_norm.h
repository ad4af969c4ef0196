#pragma once

#include <string>

#include "engine/ops/batch_norm.h"
#include "models/layers/parameters.h"

namespace faultline::models {

// Batch normalisation with torch's defaults: weight 1, bias 0, momentum 0.1, eps 1e-5. In training the
// running statistics move at each call; they are buffers of the model. The options say what follows in the same op.
class BatchNorm {
 public:
  BatchNorm(Parameters& parameters, const std::string& name, int64_t channels);
  Variable operator()(const Variable& x,  // [N, channels, ...], any shape of the rest
                      const BatchNormOptions& options = {});

 private:
  std::string name_;
  Variable weight_, bias_, running_mean_, running_var_;
};

}  // namespace faultline::models
