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

// The variants of a perturbation that takes but one value: "" if it applies, else none.
inline std::vector<std::string> once_if(bool applies) { return std::vector<std::string>(applies ? 1 : 0); }

// What the world may change without asking. One file each in harness/perturbations.
struct Perturbation {
  static constexpr const char* kKind = "perturbation";

  std::string meaning;  // one line, for --list and the report
  bool expect_bitwise;  // what a reader should expect: repeat and threads are bitwise, the others part
  std::string remedy;   // what restores the bits; "" if nothing needs restoring
  std::function<void(Launch&, uint64_t seed, const std::string& variant)> apply;

  // The values that it takes for a recipe, each a run of its own; none: it does not apply.
  std::function<std::vector<std::string>(const Recipe&)> variants = [](const Recipe&) {
    return once_if(true);
  };
};

// Names in the order of a matrix's columns: those that should be bitwise first.
std::vector<std::string> perturbation_names();

// Names of a recipe's runs under a perturbation: "threads", or "unit:a100" and so on, one a variant.
std::vector<std::string> run_names(const std::string& perturbation, const Recipe& recipe);

// The perturbation of such a name: the matrix's column.
std::string column_of(const std::string& run_name);

// Changes the launch as such a name says.
void perturb(Launch& launch, const std::string& run_name, uint64_t seed);

}  // namespace faultline::harness
