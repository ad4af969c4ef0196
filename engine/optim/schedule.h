#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace faultline {

struct ScheduleConfig {
  std::string name = "constant";
  double lr = 0.05;                      // base rate; one_cycle: the largest rate
  int64_t total_steps = 1;               // of training, warm-up included: polynomial, cosine, one_cycle
  int64_t step_size = 100;               // step
  std::vector<int64_t> milestones = {};  // multistep: rising
  double gamma = 0.1;                    // step, multistep, exponential
  double power = 1.0;                    // polynomial
  double min_lr = 0.0;                   // cosine
  double pct_start = 0.3;                // one_cycle: share of the steps in which the rate rises
  double div_factor = 25.0;              // one_cycle: largest rate over first rate
  double final_div_factor = 1e4;         // one_cycle: first rate over last rate
  int64_t warmup_steps = 0;              // 0: no warm-up
  double warmup_start = 1.0 / 3.0;       // share of the rate at the first warm-up step
};

// The learning rate as a closed form of the number of times the schedule advanced. f64, on our own functions.
class Schedule {
 public:
  virtual ~Schedule() = default;
  virtual double rate(int64_t advances) const = 0;  // advances >= 0
};

// An entry of the schedule registry.
struct ScheduleKind {
  static constexpr const char* kKind = "schedule";
  std::function<std::unique_ptr<Schedule>(const ScheduleConfig&)> make;
};

// Returns the schedule named in the config, behind a linear warm-up if warmup_steps > 0; it then has
// total_steps - warmup_steps steps of its own. Throws kNotFound, or kArgument for a setting out of its range.
std::unique_ptr<Schedule> make_schedule(const ScheduleConfig& config);

// Returns `schedule` behind a linear warm-up of config.warmup_steps (W) steps (schedules/warmup.cc).
std::unique_ptr<Schedule> with_warmup(const ScheduleConfig& config, std::unique_ptr<Schedule> schedule);

}  // namespace faultline
