#include "bench/basic_block.h"

#include <cmath>

#include "engine/ops/conv2d.h"

namespace faultline::bench {

BasicBlock::BasicBlock(const amp::Policy& policy) : autocast_(policy) {
  const Shape image = {kSamples, kChannels, kSize, kSize}, kernel = {kChannels, kChannels, 3, 3};
  models::Parameters drawn(2);
  x_ = drawn.normal("x", image).value();
  dy_ = drawn.normal("dy", image).value();
  const double bound = 1 / std::sqrt(9.0 * kChannels);
  conv1_ = parameters_.uniform("conv1.weight", kernel, bound);
  conv2_ = parameters_.uniform("conv2.weight", kernel, bound);
}

std::vector<std::pair<std::string, Tensor>> BasicBlock::inputs() const {
  std::vector<std::pair<std::string, Tensor>> inputs;
  for (const Variable& parameter : parameters_.trained()) {
    inputs.emplace_back(parameter.name(), parameter.value());
  }
  inputs.emplace_back("x", x_);
  inputs.emplace_back("dy", dy_);
  return inputs;
}

std::vector<Tensor> BasicBlock::step(Observer* observer) {
  autocast_.begin_step();
  execution() = {&autocast_, observer, "", 0, 1, true};
  begin_step(0);
  const Variable x(x_, true, "x");
  const std::vector<int64_t> one = {1, 1};
  const Variable h = bn1_(conv2d(x, conv1_, {}, one, one), {.relu = true});
  const Variable y = bn2_(conv2d(h, conv2_, {}, one, one), {.residual = x, .relu = true});
  y.backward(dy_.to(y.value().dtype()));
  execution() = {};
  return {y.value(), x.grad(), conv1_.grad(), conv2_.grad()};
}

}  // namespace faultline::bench
