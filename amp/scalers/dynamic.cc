#include <fmt/format.h>

#include <cmath>

#include "amp/scaler.h"
#include "engine/base/error.h"
#include "engine/base/registry.h"

namespace faultline::amp {
namespace {

// torch.amp.GradScaler. On overflow: scale = f32(scale * backoff_factor), down to 0, and the count of clean
// steps starts again. Else the count rises; when it reaches growth_interval it starts again and
// scale = f32(scale * growth_factor), unless that is not finite. Products are f64, rounded once.
// Source: PyTorch, aten/src/ATen/native/cuda/AmpKernels.cu, amp_update_scale_cuda_kernel (peers.md A1 to A4).
class DynamicScaler : public LossScaler {
 public:
  explicit DynamicScaler(const ScalerConfig& config)
      : config_(config), initial_(checked_scale("dynamic", "init_scale", config.init_scale)) {
    const auto require = [](bool holds, const char* setting, double value, const char* range) {
      if (holds) return;
      throw Error(ErrorCode::kArgument, "dynamic scaler",
                  fmt::format("{} = {} must be {}", setting, value, range));
    };
    require(config.growth_factor > 1 && std::isfinite(config.growth_factor), "growth_factor",
            config.growth_factor, "above 1 and finite");
    require(config.backoff_factor > 0 && config.backoff_factor < 1, "backoff_factor", config.backoff_factor,
            "above 0 and below 1");
    require(config.growth_interval >= 1, "growth_interval", static_cast<double>(config.growth_interval),
            "at least 1");
  }

  ScalerState initial() const override { return {initial_, 0}; }

  ScalerState next(const ScalerState& state, bool overflow) const override {
    if (overflow) return {static_cast<float>(state.scale * config_.backoff_factor), 0};
    const int64_t clean_steps = state.clean_steps + 1;
    if (clean_steps != config_.growth_interval) return {state.scale, clean_steps};
    const float grown = static_cast<float>(state.scale * config_.growth_factor);
    return {std::isfinite(grown) ? grown : state.scale, 0};
  }

  bool skips_on_overflow() const override { return true; }

 private:
  ScalerConfig config_;
  double initial_;
};

const Registered<ScalerKind> kDynamic{
    "dynamic", {[](const ScalerConfig& config) { return std::make_unique<DynamicScaler>(config); }}};

}  // namespace
}  // namespace faultline::amp
