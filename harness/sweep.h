#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/sweep_result.h"

namespace faultline::harness {

// What a person asked for on the command line.
struct SweepOptions {
  std::vector<Recipe> recipes;
  std::vector<std::string> perturbations;
  std::vector<std::string>
      only;  // "recipe/perturbation", with its variant or for all; globs; none: every cell
  std::map<std::string, std::string> expect;  // of perturbations: see unmet_expectations
  std::vector<int64_t> seeds = {1};
  int jobs = 0;        // 0: as many as there are processors
  std::string folder;  // "faultline-out"
  bool fresh = false;
  std::string command;  // for the report
};

// Processes at once, as asked or as there are processors.
int jobs_of(const SweepOptions& options);

// Runs what is missing, each run and comparison as a process of its own, and writes sweep.json, matrix.csv
// and report.html. Returns nothing if it was interrupted by a signal: what has finished is kept, and the same
// call goes on from there. Throws kMismatch for a folder that belongs to another sweep or build, kIo.
std::optional<SweepResult> sweep(const SweepOptions& options);

// One line per cell that is not as expected: `expect` maps a perturbation to "bitwise" or "parts"; where it
// is silent, a perturbation that should be bitwise must be.
std::vector<std::string> unmet_expectations(const SweepResult& result,
                                            const std::map<std::string, std::string>& expect);

}  // namespace faultline::harness
