#pragma once

#include <string>
#include <vector>

#include "harness/recipe.h"

namespace faultline::harness {

// Names of the recipes that are part of the program: the default sweep, in the order of its rows.
std::vector<std::string> recipe_names();

// Returns a recipe by its name, or read from a file: a path holds a '/' or ends in .yaml, .yml or .json (the
// flat form of Recipe::json). Throws kNotFound with the nearest known name.
Recipe find_recipe(const std::string& name_or_path);

}  // namespace faultline::harness
