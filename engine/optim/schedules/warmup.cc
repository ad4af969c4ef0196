#include <utility>

#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"

namespace faultline {
namespace {

// In front of any schedule s, with W = warmup_steps and a = warmup_start:
//   t < W: rate(t) = s(0) * (a + (1 - a) * t / W)
//   then:  rate(t) = s(t - W)
// Source: torch.optim.lr_scheduler.SequentialLR of LinearLR(start_factor = a, end_factor = 1) and s.
class Warmup : public Schedule {
 public:
  Warmup(const ScheduleConfig& config, std::unique_ptr<Schedule> schedule)
      : schedule_(std::move(schedule)), steps_(config.warmup_steps), start_(config.warmup_start) {
    check_setting("warm-up", "warmup_start", start_, 0, 1);
  }
  double rate(int64_t t) const override {
    if (t >= steps_) return schedule_->rate(t - steps_);
    const double share = static_cast<double>(t) / static_cast<double>(steps_);
    return schedule_->rate(0) * (start_ + (1 - start_) * share);
  }

 private:
  std::unique_ptr<Schedule> schedule_;
  int64_t steps_;
  double start_;
};

}  // namespace

std::unique_ptr<Schedule> with_warmup(const ScheduleConfig& config, std::unique_ptr<Schedule> schedule) {
  return std::make_unique<Warmup>(config, std::move(schedule));
}

}  // namespace faultline
