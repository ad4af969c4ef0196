#include <algorithm>
#include <numbers>

#include "engine/base/registry.h"
#include "engine/numerics/math.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"

namespace faultline {
namespace {

// Rises from lr / div_factor to lr, then falls to lr / div_factor / final_div_factor, both along a cosine:
//   T = total_steps, top = pct_start * T - 1, first = lr / div_factor, last = first / final_div_factor
//   from -> to over a share p: to + (from - to) / 2 * (1 + cos(pi * p))
//   t <= top: first -> lr, p = t / top
//   then:     lr -> last, p = (t - top) / (T - 1 - top), at most 1
// Source: torch.optim.lr_scheduler.OneCycleLR with cosine annealing and two phases; Smith and Topin 2018.
class OneCycle : public Schedule {
 public:
  explicit OneCycle(const ScheduleConfig& config)
      : lr_(config.lr), end_(static_cast<double>(config.total_steps) - 1) {
    const char* where = "one_cycle schedule";
    check_setting(where, "div_factor", config.div_factor, 1e-12, 1e15);
    check_setting(where, "final_div_factor", config.final_div_factor, 1e-12, 1e15);
    top_ = config.pct_start * static_cast<double>(config.total_steps) - 1;
    check_setting(where, "pct_start * total_steps - 1", top_, 1e-9, end_ - 1e-9);
    first_ = lr_ / config.div_factor;
    last_ = first_ / config.final_div_factor;
  }
  double rate(int64_t advances) const override {
    const double t = static_cast<double>(advances);
    if (t <= top_) return along(first_, lr_, t / top_);
    return along(lr_, last_, std::min((t - top_) / (end_ - top_), 1.0));
  }

 private:
  static double along(double from, double to, double share) {
    return to + (from - to) / 2 * (1 + cos_f64(std::numbers::pi * share));
  }

  double lr_, first_, last_, top_, end_;
};

const Registered<ScheduleKind> kOneCycle{
    "one_cycle", {[](const ScheduleConfig& config) { return std::make_unique<OneCycle>(config); }}};

}  // namespace
}  // namespace faultline
