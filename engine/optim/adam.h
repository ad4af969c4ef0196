#pragma once

#include "engine/optim/optimizer.h"

namespace faultline {

// Adam and AdamW, as the op "adam_update" on each parameter:
//   adam:  g = fma(weight_decay, w, g) if weight_decay is not 0
//   adamw: w = w * (1 - lr * weight_decay)
//   m = fma(beta1, m, (1 - beta1) * g)
//   v = fma(beta2, v, ((1 - beta2) * g) * g)
//   w = fma(-lr / c1, m / (sqrt(v) / sqrt(c2) + eps), w), with c = 1 - beta^t
// m and v start at 0. lr, 1 - beta and c are formed in f64 and rounded once to f32, the powers of beta are
// running f64 products; everything else is one f32 operation each.
// Shapes:      w, g, m, v alike -> w, m, v.
// Formats:     f32.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Source:      numerics.md 2.8; Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2.
class Adam : public Optimizer {
 public:
  Adam(const OptimizerConfig& config, bool decoupled) : config_(config), decoupled_(decoupled) {}
  void step(const std::vector<Variable>& parameters, double lr) override;

 private:
  double advance_power(const std::string& name, double beta);

  OptimizerConfig config_;
  bool decoupled_;  // adamw
};

}  // namespace faultline
