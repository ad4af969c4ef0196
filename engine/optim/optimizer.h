#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/autograd/variable.h"

namespace faultline {

struct OptimizerConfig {
  std::string name = "sgd";
  double momentum = 0.0;      // sgd
  bool nesterov = false;      // sgd
  double weight_decay = 0.0;  // sgd, adam: added to the gradient; adamw: decoupled
  double beta1 = 0.9;         // adam, adamw
  double beta2 = 0.999;
  double eps = 1e-8;
};

using NamedTensors = std::map<std::string, Tensor>;

// Updates f32 parameters from their gradients (numerics.md 2.8). Each parameter's update is one op, seen by
// the observer as "<parameter>/update".
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Updates every parameter. Throws kArgument if one has no gradient, before anything is changed.
  virtual void step(const std::vector<Variable>& parameters, double lr) = 0;

  // All that the next step depends on beside parameters and gradients: "conv1.weight/momentum",
  // "beta1_power". Empty before the first step. A new optimizer that is given it goes on with the same bits.
  const NamedTensors& state() const { return state_; }
  void set_state(const NamedTensors& state);

 protected:
  NamedTensors state_;
};

// An entry of the optimizer registry.
struct OptimizerKind {
  static constexpr const char* kKind = "optimizer";
  std::function<std::unique_ptr<Optimizer>(const OptimizerConfig&)> make;
};

// Returns the optimizer named in the config. Throws kNotFound, or kArgument for a setting out of its range.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config);

// Throws kArgument unless every parameter is f32 and has an f32 gradient of its own shape.
void check_gradients(const std::string& optimizer, const std::vector<Variable>& parameters);

// Throws kArgument unless minimum <= value <= maximum; NaN is out of every range.
void check_setting(const std::string& where, const std::string& setting, double value, double minimum,
                   double maximum);

}  // namespace faultline
