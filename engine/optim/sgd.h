#pragma once

#include "engine/optim/optimizer.h"

namespace faultline {

// Stochastic gradient descent with momentum, as the op "sgd_update" on each parameter:
//   g = fma(weight_decay, w, g)
//   m = fma(momentum, m, g), the first m = g
//   d = fma(momentum, m, g) with Nesterov's momentum, else m
//   w = fma(-lr, d, w)
// Settings are rounded once to f32. Without momentum no m is kept and d = g.
// Shapes:      w, g, m alike -> w, m.
// Formats:     f32.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kArgument for Nesterov's momentum without momentum.
// Source:      numerics.md 2.8; torch.optim.SGD with dampening 0.
class Sgd : public Optimizer {
 public:
  explicit Sgd(const OptimizerConfig& config) : config_(config) {}
  void step(const std::vector<Variable>& parameters, double lr) override;

 private:
  OptimizerConfig config_;
};

}  // namespace faultline
