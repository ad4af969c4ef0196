#pragma once

#include <string>
#include <utility>
#include <vector>

#include "amp/policy.h"
#include "engine/autograd/execution.h"
#include "models/layers/batch_norm.h"

namespace faultline::bench {

// conv3x3 - bn - relu - conv3x3 - bn - add - relu of 64 channels, forward and backward.
// Source: He, Zhang, Ren and Sun 2016, figure 2.
class BasicBlock {
 public:
  static constexpr int64_t kChannels = 64, kSize = 32, kSamples = 32;

  explicit BasicBlock(const amp::Policy& policy);

  // Both weights, x, and the gradient dy that comes in.
  std::vector<std::pair<std::string, Tensor>> inputs() const;

  // Returns the output and the gradients of x and of both weights; the observer sees every op.
  std::vector<Tensor> step(Observer* observer = nullptr);

 private:
  amp::Autocast autocast_;
  models::Parameters parameters_{1};
  Variable conv1_, conv2_;
  models::BatchNorm bn1_{parameters_, "bn1", kChannels}, bn2_{parameters_, "bn2", kChannels};
  Tensor x_, dy_;
};

}  // namespace faultline::bench
