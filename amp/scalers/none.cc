#include "amp/scaler.h"
#include "engine/base/registry.h"

namespace faultline::amp {
namespace {

// Scale 1 for ever. Overflow is reported, and the update is made all the same: what training without a scaler
// does.
class NoScaler : public LossScaler {
 public:
  ScalerState initial() const override { return {}; }
  ScalerState next(const ScalerState& state, bool) const override { return state; }
  bool skips_on_overflow() const override { return false; }
};

const Registered<ScalerKind> kNone{"none",
                                   {[](const ScalerConfig&) { return std::make_unique<NoScaler>(); }}};

}  // namespace
}  // namespace faultline::amp
