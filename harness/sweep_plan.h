#pragma once

#include <string>
#include <vector>

#include "harness/perturbation.h"
#include "harness/sweep.h"

namespace faultline::harness {

// Files in a run's folder that the sweep adds to the run's own.
inline constexpr const char* kRecipeFile = "recipe.json";    // what the run was started with
inline constexpr const char* kVerdictFile = "verdict.json";  // of the comparison with the baseline
inline constexpr const char* kClockFile = "clock_shift.so";  // preloaded where the clock is shifted

// One process that trains.
struct PlannedRun {
  std::string recipe, perturbation;  // perturbation: with its variant; kBaseline for the unperturbed run
  int64_t seed = 1;
  std::string folder;  // relative to the sweep's: "f16/threads/seed-1"
  Launch launch;
  std::string key;  // digest of all that decides its ledger: settings, launch, data, build
};
inline constexpr const char* kBaseline = "baseline";

// One comparison: indices into Plan::runs. Cells of one recipe and seed share their baseline.
struct PlannedCell {
  size_t baseline = 0, run = 0;
};

struct Plan {
  std::vector<Recipe> recipes;
  std::vector<std::string> perturbations;  // without variants
  std::vector<int64_t> seeds;
  std::vector<PlannedRun> runs;
  std::vector<PlannedCell> cells;
  Json identity;  // settings, cells, data sums, build: a folder belongs to one of these
};

// Applies "a.b=c" to every recipe; a comma list multiplies the recipes, whose names then say the value:
// "f16+amp.scaler=static". Commas inside [...] belong to the value. Throws kArgument.
std::vector<Recipe> multiply(const std::vector<Recipe>& recipes, const std::string& assignment);

// Chooses the cells and names their runs. Reads the data, so that a missing or altered file is told before
// anything is written. Throws kArgument for names that clash, an `only` that matches nothing, an
// expectation that no cell is held against, and a plan without cells; kData.
Plan make_plan(const SweepOptions& options);

}  // namespace faultline::harness
