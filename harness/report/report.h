#pragma once

#include <string>

#include "harness/sweep_result.h"

namespace faultline::harness {

// Returns the sweep's report: one self-contained HTML file (report.md). Reads the ledgers under
// result.folder.
std::string report_html(const SweepResult& result);

}  // namespace faultline::harness
