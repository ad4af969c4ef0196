#include "harness/report/report.h"

#include <fmt/format.h>

#include "harness/report/html.h"
#include "harness/run.h"

namespace faultline::harness {
namespace {

ReportData collect(const SweepResult& sweep) {
  ReportData data{sweep, {}};
  for (const Recipe& recipe : sweep.recipes) {
    for (const Cell& cell : sweep.cells) {
      if (cell.recipe != recipe.name() || !cell.failure.empty()) continue;
      data.baselines.emplace_back(
          recipe.name(), Ledger::open(sweep.folder + "/" + cell.baseline_folder + "/" + kLedgerFile));
      break;
    }
  }
  return data;
}

// Model, data, steps, seeds, machine, commit: one line.
std::string setting_line(const ReportData& data) {
  if (data.baselines.empty()) return "No run has finished.";
  const Ledger& ledger = data.baselines.front().second;
  const Json& manifest = ledger.manifest();
  const Json& recipe = manifest.at("recipe");
  const Json& git = manifest.at("git");
  std::string commit = git.is_object() ? git.at("commit").get<std::string>().substr(0, 12) : "unknown";
  if (git.is_object() && !git.at("diff").get<std::string>().empty()) commit += " with local changes";
  std::string seeds;
  for (int64_t seed : data.sweep.seeds) seeds += (seeds.empty() ? "" : ", ") + std::to_string(seed);
  return fmt::format("{} on {}, {} steps of batch {}, seed{} {}; {}, {}; commit {}.",
                     recipe.at("model.name").get<std::string>(), recipe.at("data.name").get<std::string>(),
                     ledger.size(), recipe.at("data.batch").get<int64_t>(),
                     data.sweep.seeds.size() > 1 ? "s" : "", seeds,
                     manifest.at("cpu").at("model").get<std::string>(),
                     manifest.at("cpu").at("instruction_set").get<std::string>(), commit);
}

}  // namespace

std::string cell_anchor(const SweepResult& sweep, const Cell& cell) {
  return fmt::format("cell-{}", &cell - sweep.cells.data());
}

std::string report_html(const SweepResult& sweep) {
  const ReportData data = collect(sweep);
  Page page{
      "Faultline report", answer(sweep), setting_line(data), std::string(asset("dygraph.min.css")), "", ""};
  page.sections = matrix_section(data) + schedules_section(data) + cells_section(data) + cost_section(data) +
                  provenance_section(data);
  page.scripts = fmt::format(
      "<script type=\"application/json\" id=\"data\">{}</script><script>{}</script><script>{}</script>",
      script_json(schedules_json(data)), asset("dygraph.min.js"), asset("report.js"));
  return page_html(page);
}

}  // namespace faultline::harness
