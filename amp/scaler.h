#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace faultline::amp {

struct ScalerConfig {
  std::string name = "none";
  double static_scale = 128.0;  // static
  double init_scale = 65536.0;  // dynamic
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  int64_t growth_interval = 2000;
};

// All that a scaler remembers: a run resumed from it goes on exactly as it would have.
struct ScalerState {
  double scale = 1.0;       // always a value of f32
  int64_t clean_steps = 0;  // since the scale last changed or an overflow

  bool operator==(const ScalerState&) const = default;
};

// A loss scaler as a pure state machine: the scale of the next step from this step's state and verdict.
class LossScaler {
 public:
  virtual ~LossScaler() = default;
  virtual ScalerState initial() const = 0;
  virtual ScalerState next(const ScalerState& state, bool overflow) const = 0;
  virtual bool skips_on_overflow() const = 0;
};

// An entry of the loss scaler registry.
struct ScalerKind {
  static constexpr const char* kKind = "loss scaler";
  std::function<std::unique_ptr<LossScaler>(const ScalerConfig&)> make;
};

// Returns the scaler named in the config. Throws kNotFound, or kArgument for a setting out of its range.
std::unique_ptr<LossScaler> make_scaler(const ScalerConfig& config);

// Returns the value rounded to f32 as a scale. Throws kArgument unless it is a positive finite f32.
double checked_scale(const std::string& scaler, const std::string& setting, double value);

}  // namespace faultline::amp
