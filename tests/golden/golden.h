#pragma once

#include <string>
#include <vector>

#include "harness/trainer.h"

namespace faultline::harness {

// The recipes of the golden file, and how many of their steps it holds.
inline const std::vector<std::string> kGoldenRecipes = {"f32", "bf16", "f16-dynamic", "f16-h100"};
constexpr int64_t kGoldenSteps = 20;

// The recipe's first steps, with a digest of every tensor. `instruction_set` may be "best".
std::vector<StepRecord> golden_steps(const std::string& recipe, const std::string& instruction_set,
                                     int threads);

// A line of the golden file: recipe, step, the step's digest, and the first digits of each entry's digest,
// by which the first op that differs is found.
std::string golden_line(const std::string& recipe, const StepRecord& record);

// What differs first between a step and its golden line, as a name of an entry; "" if nothing does.
std::string first_difference(const std::string& recipe, const StepRecord& record, const std::string& golden);

}  // namespace faultline::harness
