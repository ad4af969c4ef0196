#pragma once

#include <string>

#include "harness/recipe.h"

namespace faultline::harness {

// Everything that could explain another result: {"recipe": all settings, "resolved": per op type, unit,
// accumulator, "labels", "git": {commit, diff} or "unknown", "build": {id, compiler, flags}, "cpu": {model,
// flags, instruction_set}, "libraries": {...}, "data": {file: sha256}, "seed", "platform"}.
Json make_manifest(const Recipe& recipe, const Json& resolved, const Json& labels);

}  // namespace faultline::harness
