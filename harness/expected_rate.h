#pragma once

#include <cstdint>

#include "harness/recipe.h"

namespace faultline::harness {

// Returns the learning rate that the recipe's schedule must give after `advances` advances, in closed form.
// Written apart from engine/optim on purpose: it checks that code and shares nothing with it.
double expected_rate(const Recipe& recipe, int64_t advances);

// True if the rate used differs from the expected one by more than 4 units in the last place of f32.
bool rate_differs(double used, double expected);

}  // namespace faultline::harness
