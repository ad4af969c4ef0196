#pragma once

#include <string>
#include <utility>
#include <vector>

#include "harness/ledger.h"
#include "harness/report/page.h"
#include "harness/sweep_result.h"

namespace faultline::harness {

// Everything that the sections of one report share.
struct ReportData {
  const SweepResult& sweep;
  // Baseline ledgers of the first seed, per recipe, in the sweep's order; a recipe without one is left out.
  std::vector<std::pair<std::string, Ledger>> baselines;
};

// The sections, in the order of the page (report.md). Each returns HTML.
std::string matrix_section(const ReportData& data);
std::string schedules_section(const ReportData& data);  // needs schedules_json in the page
Json schedules_json(const ReportData& data);
std::string cells_section(const ReportData& data);
std::string cost_section(const ReportData& data);
std::string provenance_section(const ReportData& data);

// Anchor of the detail of one of the sweep's cells.
std::string cell_anchor(const SweepResult& sweep, const Cell& cell);

}  // namespace faultline::harness
