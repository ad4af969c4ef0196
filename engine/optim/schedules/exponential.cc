#include "engine/base/registry.h"
#include "engine/numerics/math.h"
#include "engine/optim/schedule.h"

namespace faultline {
namespace {

// rate(t) = lr * gamma^t.
// Source: torch.optim.lr_scheduler.ExponentialLR, closed form.
class Exponential : public Schedule {
 public:
  explicit Exponential(const ScheduleConfig& config) : lr_(config.lr), gamma_(config.gamma) {}
  double rate(int64_t t) const override { return lr_ * pow_f64(gamma_, static_cast<double>(t)); }

 private:
  double lr_, gamma_;
};

const Registered<ScheduleKind> kExponential{
    "exponential", {[](const ScheduleConfig& config) { return std::make_unique<Exponential>(config); }}};

}  // namespace
}  // namespace faultline
