#pragma once

#include <string>

#include "harness/recipe.h"

namespace faultline::harness {

// True if there is a unit of that name and it multiplies the recipe's compute format with that accumulator.
bool unit_takes(const std::string& unit, const Recipe& recipe, const std::string& accumulate);

// True if the recipe asks for a chip's matrix unit: not for fma, and not for a library.
bool names_chip(const Recipe& recipe);

}  // namespace faultline::harness
