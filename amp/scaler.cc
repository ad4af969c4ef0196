#include "amp/scaler.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/base/error.h"
#include "engine/base/registry.h"

namespace faultline::amp {

std::unique_ptr<LossScaler> make_scaler(const ScalerConfig& config) {
  return Registry<ScalerKind>::instance().find(config.name).make(config);
}

double checked_scale(const std::string& scaler, const std::string& setting, double value) {
  const float scale = static_cast<float>(value);
  if (std::isfinite(scale) && scale > 0) return scale;
  throw Error(ErrorCode::kArgument, scaler + " scaler",
              fmt::format("{} = {} must be positive and finite in f32", setting, value));
}

}  // namespace faultline::amp
