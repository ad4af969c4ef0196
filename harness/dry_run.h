#pragma once

#include <string>

#include "harness/sweep.h"

namespace faultline::harness {

// Says how many runs and comparisons the sweep would make, and about how many minutes and bytes they take:
// measured by training each recipe for a few steps in a temporary folder. Touches nothing in options.folder.
std::string dry_run(const SweepOptions& options);

}  // namespace faultline::harness
