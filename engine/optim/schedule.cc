#include "engine/optim/schedule.h"

#include <string>

#include "engine/base/error.h"
#include "engine/base/registry.h"
#include "engine/optim/optimizer.h"

namespace faultline {

std::unique_ptr<Schedule> make_schedule(const ScheduleConfig& config) {
  const ScheduleKind& kind = Registry<ScheduleKind>::instance().find(config.name);
  check_setting("schedule", "lr", config.lr, 0, 1e9);
  check_setting("schedule", "warmup_steps", static_cast<double>(config.warmup_steps), 0, 1e15);
  if (config.warmup_steps == 0) return kind.make(config);
  if (config.warmup_steps >= config.total_steps) {
    throw Error(ErrorCode::kArgument, "schedule",
                "warmup_steps = " + std::to_string(config.warmup_steps) + " leaves none of " +
                    std::to_string(config.total_steps) + " steps for " + config.name);
  }
  ScheduleConfig rest = config;
  rest.total_steps -= config.warmup_steps;
  return with_warmup(config, kind.make(rest));
}

}  // namespace faultline
