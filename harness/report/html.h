#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/ledger.h"
#include "harness/sweep_result.h"

namespace faultline::harness {

// Text that is safe between tags and inside quoted attributes.
std::string escaped(std::string_view text);

// JSON that is safe inside a <script> element.
std::string script_json(const Json& json);

// <table> of escaped text; the first row is the head, the first column heads the rows.
std::string table(const std::vector<std::vector<std::string>>& rows);

// A block that opens when asked: <details><summary>...</summary>body</details>.
std::string details(std::string_view summary, std::string_view body);

// Monospaced text with a caption, to be copied as it is.
std::string command(std::string_view text);

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

// Colours of the recipes' lines, by position: told apart by people who do not see all colours too.
std::string line_colour(size_t index);

}  // namespace faultline::harness
