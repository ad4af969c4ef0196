#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/base/registry.h"
#include "harness/recipe.h"

namespace faultline::harness {

// How one process of a sweep is started; a perturbation may change it.
struct Launch {
  Recipe recipe;
  std::map<std::string, std::string> environment;  // added to, or "" removed from, the sweep's own
  std::string working_folder;                      // "": the run's own
  int64_t clock_shift_s = 0;                       // how far off the process sees the time of day
};

// What the world may change without asking. One file each in harness/perturbations.
struct Perturbation {
  static constexpr const char* kKind = "perturbation";

  std::string meaning;  // one line, for --list and the report
  bool expect_bitwise;  // what a reader should expect: repeat and threads are bitwise, the others part
  std::string remedy;   // what restores the bits, and what that costs; "" if nothing needs restoring
  std::function<void(Launch&, uint64_t seed)> apply;
};

// Names in the order of a matrix's columns: those that should be bitwise first.
std::vector<std::string> perturbation_names();

}  // namespace faultline::harness
