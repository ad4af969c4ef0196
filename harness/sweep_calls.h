#pragma once

#include <optional>

#include "harness/processes.h"
#include "harness/sweep_folder.h"

namespace faultline::harness {

// Exit codes of `faultline diff`.
constexpr int kEqualStatus = 0, kDifferentStatus = 1;

// `faultline run` of a planned run; writes its recipe.json and, for a shifted clock, the library that shifts.
ProcessCall run_call(const SweepFolder& folder, const PlannedRun& run);

// `faultline diff --json` of a cell's two runs.
ProcessCall comparison_call(const SweepFolder& folder, const Plan& plan, const PlannedCell& cell);

// The cell's verdict from an earlier sweep, if it was made from these two ledgers.
std::optional<Verdict> kept_verdict(const SweepFolder& folder, const Plan& plan, const PlannedCell& cell);
void keep_verdict(const SweepFolder& folder, const Plan& plan, const PlannedCell& cell, const Json& verdict);

// Median step time of a finished run.
double recorded_step_time_us(const SweepFolder& folder, const PlannedRun& run);

}  // namespace faultline::harness
