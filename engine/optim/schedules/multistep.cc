#include <algorithm>

#include "engine/base/error.h"
#include "engine/base/registry.h"
#include "engine/numerics/math.h"
#include "engine/optim/schedule.h"

namespace faultline {
namespace {

// rate(t) = lr * gamma^(number of milestones <= t). A milestone given twice counts twice.
// Source: torch.optim.lr_scheduler.MultiStepLR, closed form.
class MultiStep : public Schedule {
 public:
  explicit MultiStep(const ScheduleConfig& config)
      : lr_(config.lr), gamma_(config.gamma), milestones_(config.milestones) {
    if (!std::is_sorted(milestones_.begin(), milestones_.end())) {
      throw Error(ErrorCode::kArgument, "multistep schedule", "milestones must rise");
    }
  }
  double rate(int64_t t) const override {
    const auto passed = std::upper_bound(milestones_.begin(), milestones_.end(), t) - milestones_.begin();
    return lr_ * pow_f64(gamma_, static_cast<double>(passed));
  }

 private:
  double lr_, gamma_;
  std::vector<int64_t> milestones_;
};

const Registered<ScheduleKind> kMultiStep{
    "multistep", {[](const ScheduleConfig& config) { return std::make_unique<MultiStep>(config); }}};

}  // namespace
}  // namespace faultline
