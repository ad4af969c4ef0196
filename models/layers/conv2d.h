#pragma once

#include <string>

#include "models/layers/parameters.h"

namespace faultline::models {

struct Conv2dShape {
  int64_t in_channels, out_channels, kernel;
  int64_t stride = 1, padding = 0;
};

// Convolution with a square kernel. Weight and bias are drawn uniformly within 1 / sqrt(in_channels *
// kernel^2): torch's default.
class Conv2d {
 public:
  Conv2d(Parameters& parameters, const std::string& name, const Conv2dShape& shape);
  Variable operator()(const Variable& x) const;  // [N, in_channels, H, W] -> [N, out_channels, H', W']

 private:
  std::string name_;
  Conv2dShape shape_;
  Variable weight_, bias_;
};

}  // namespace faultline::models
