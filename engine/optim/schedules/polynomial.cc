#include <algorithm>

#include "engine/base/registry.h"
#include "engine/numerics/math.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"

namespace faultline {
namespace {

// rate(t) = lr * (1 - min(t, T) / T)^power, T = total_steps.
// Source: torch.optim.lr_scheduler.PolynomialLR, closed form.
class Polynomial : public Schedule {
 public:
  explicit Polynomial(const ScheduleConfig& config)
      : lr_(config.lr), power_(config.power), total_(static_cast<double>(config.total_steps)) {
    check_setting("polynomial schedule", "total_steps", total_, 1, 1e15);
    check_setting("polynomial schedule", "power", power_, 0, 1e6);
  }
  double rate(int64_t t) const override {
    return lr_ * pow_f64(1 - std::min(static_cast<double>(t), total_) / total_, power_);
  }

 private:
  double lr_, power_, total_;
};

const Registered<ScheduleKind> kPolynomial{
    "polynomial", {[](const ScheduleConfig& config) { return std::make_unique<Polynomial>(config); }}};

}  // namespace
}  // namespace faultline
