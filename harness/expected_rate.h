#pragma once

#include <cstdint>
#include <vector>

#include "harness/ledger.h"

namespace faultline::harness {

// Returns the learning rate that the recipe's schedule must give after `advances` advances of a training of
// `total_steps` steps, in closed form.
// Written apart from engine/optim on purpose: it checks that code and shares nothing with it.
// Source:      torch.optim.lr_scheduler's documentation of each schedule; a warm-up is its LinearLR in front.
// Throws:      kUnsupported for a schedule that has no closed form here.
double expected_rate(const Recipe& recipe, int64_t total_steps, int64_t advances);

// Returns the rate that each step of the ledger must have used, from its manifest and its skipped steps
// alone.
std::vector<double> expected_rates(const Ledger& ledger);

// True if the rate used differs from the expected one by more than 4 units in the last place of f32. Rates
// below 2^-24 are measured by the units of 2^-24: near the end of a cosine both are rounding errors.
bool rate_differs(double used, double expected);

}  // namespace faultline::harness
