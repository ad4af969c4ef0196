#include "engine/base/registry.h"
#include "engine/numerics/math.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"

namespace faultline {
namespace {

// rate(t) = lr * gamma^floor(t / step_size).
// Source: torch.optim.lr_scheduler.StepLR, closed form.
class Step : public Schedule {
 public:
  explicit Step(const ScheduleConfig& config)
      : lr_(config.lr), gamma_(config.gamma), step_size_(config.step_size) {
    check_setting("step schedule", "step_size", static_cast<double>(step_size_), 1, 1e15);
  }
  double rate(int64_t t) const override { return lr_ * pow_f64(gamma_, static_cast<double>(t / step_size_)); }

 private:
  double lr_, gamma_;
  int64_t step_size_;
};

const Registered<ScheduleKind> kStep{
    "step", {[](const ScheduleConfig& config) { return std::make_unique<Step>(config); }}};

}  // namespace
}  // namespace faultline
