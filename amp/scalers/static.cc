#include "amp/scaler.h"
#include "engine/base/registry.h"

namespace faultline::amp {
namespace {

// One scale for ever. Gradients are tested and a step with an overflow is skipped, as under the dynamic
// scaler (Megatron's constant and DeepSpeed's static scaler; peers.md A2).
class StaticScaler : public LossScaler {
 public:
  explicit StaticScaler(const ScalerConfig& config)
      : scale_(checked_scale("static", "static_scale", config.static_scale)) {}

  ScalerState initial() const override { return {scale_, 0}; }
  ScalerState next(const ScalerState& state, bool) const override { return state; }
  bool skips_on_overflow() const override { return true; }

 private:
  double scale_;
};

const Registered<ScalerKind> kStatic{
    "static", {[](const ScalerConfig& config) { return std::make_unique<StaticScaler>(config); }}};

}  // namespace
}  // namespace faultline::amp
