#include "models/layers/conv2d.h"

#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/ops/conv2d.h"

namespace faultline::models {

Conv2d::Conv2d(Parameters& parameters, const std::string& name, const Conv2dShape& shape)
    : name_(name), shape_(shape) {
  const int64_t taps = shape.in_channels * shape.kernel * shape.kernel;
  const double bound = 1 / std::sqrt(static_cast<double>(taps));
  weight_ = parameters.uniform(name + ".weight",
                               {shape.out_channels, shape.in_channels, shape.kernel, shape.kernel}, bound);
  bias_ = parameters.uniform(name + ".bias", {shape.out_channels}, bound);
}

Variable Conv2d::operator()(const Variable& x) const {
  const Scope scope(name_);
  return conv2d(x, weight_, bias_, {shape_.stride, shape_.stride}, {shape_.padding, shape_.padding});
}

}  // namespace faultline::models
