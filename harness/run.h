#pragma once

#include <functional>
#include <string>

#include "harness/ledger.h"

namespace faultline::harness {

// File names inside a run's folder.
inline constexpr const char* kLedgerFile = "ledger.sqlite";
inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kScheduleFile = "schedule.csv";

// Trains the recipe and writes ledger, manifest.json and schedule.csv into `folder` (made if missing; an
// older, unfinished run in it is removed). `progress(step, steps)` is called after each step and may throw to
// stop. `labels` (recipe, perturbation, seed, key) go into the manifest as they are.
RunResult run(const Recipe& recipe, const std::string& folder, const Json& labels,
              const std::function<void(int64_t step, int64_t steps)>& progress = {});

// schedule.csv of a ledger: step, lr, lr_expected, scale, overflow, skipped, first_nonfinite, loss.
std::string schedule_csv(const Ledger& ledger);

}  // namespace faultline::harness
