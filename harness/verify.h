#pragma once

#include <string>
#include <vector>

#include "harness/ledger.h"
#include "harness/replay.h"

namespace faultline::harness {

// Returns where a replay's digests are not those of the ledger, "step 3, leaf/conv1.weight", or "".
std::string replay_mismatch(const Ledger& ledger, const std::vector<Recorded>& replayed);

// Trains the ledger's recipe again up to `step` and returns what contradicts the ledger, one sentence each:
// rates that the schedule does not give, its positions, the number of steps, and the first step whose digest
// is another. (That a ledger agrees with itself is checked when it is opened.)
// Throws:      kArgument if the ledger has no such step.
std::vector<std::string> verify(const Ledger& ledger, int64_t step);

}  // namespace faultline::harness
