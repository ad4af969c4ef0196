#pragma once

#include <string>

#include "models/layers/parameters.h"

namespace faultline::models {

// y = x w^T + b. Weight and bias are drawn uniformly within 1 / sqrt(inputs): torch's default.
class Linear {
 public:
  Linear(Parameters& parameters, const std::string& name, int64_t inputs, int64_t outputs);
  Variable operator()(const Variable& x) const;  // [N, inputs] -> [N, outputs]

 private:
  std::string name_;
  Variable weight_, bias_;
};

}  // namespace faultline::models
