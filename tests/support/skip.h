#pragma once

#include <string>

namespace faultline {

// Ends the current TEST_CASE as skipped; `reason` says what is missing and how to get it.
// Only from the test's own thread (or out of parallel_for, which rethrows there).
[[noreturn]] void skip(const std::string& reason);

}  // namespace faultline
