#include <numbers>

#include "engine/base/registry.h"
#include "engine/numerics/math.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"

namespace faultline {
namespace {

// rate(t) = min_lr + (lr - min_lr) * (1 + cos(pi * t / T)) / 2, T = total_steps. Beyond T it rises again.
// Source: torch.optim.lr_scheduler.CosineAnnealingLR, closed form; Loshchilov and Hutter 2017, equation 5.
class Cosine : public Schedule {
 public:
  explicit Cosine(const ScheduleConfig& config)
      : lr_(config.lr), min_lr_(config.min_lr), total_(static_cast<double>(config.total_steps)) {
    check_setting("cosine schedule", "total_steps", total_, 1, 1e15);
    check_setting("cosine schedule", "min_lr", min_lr_, 0, 1e9);
  }
  double rate(int64_t t) const override {
    return min_lr_ + (lr_ - min_lr_) * (1 + cos_f64(std::numbers::pi * static_cast<double>(t) / total_)) / 2;
  }

 private:
  double lr_, min_lr_, total_;
};

const Registered<ScheduleKind> kCosine{
    "cosine", {[](const ScheduleConfig& config) { return std::make_unique<Cosine>(config); }}};

}  // namespace
}  // namespace faultline
