#include "harness/report/report.h"

#include <fmt/format.h>

#include "engine/base/error.h"
#include "harness/report/html.h"
#include "harness/report/report_files.h"
#include "harness/run.h"

namespace faultline::harness {
namespace {

std::string_view asset(std::string_view name) {
  for (const auto& [file, text] : report_files()) {
    if (file == name) return text;
  }
  throw Error(ErrorCode::kInternal, "report", "no embedded file " + std::string(name));
}

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

std::string report_html(const SweepResult& sweep) {
  const ReportData data = collect(sweep);
  std::string html = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">";
  html +=
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Faultline "
      "report</title>";
  html += "<link rel=\"icon\" href=\"data:,\">";
  html +=
      fmt::format("<style>{}\n{}</style></head><body><main>", asset("dygraph.min.css"), asset("report.css"));
  html +=
      fmt::format("<header><p class=\"brand\">Faultline</p><h1>{}</h1><p class=\"setting\">{}</p></header>",
                  escaped(answer(sweep)), escaped(setting_line(data)));
  html += matrix_section(data) + schedules_section(data) + cells_section(data);
  html += cost_section(data) + provenance_section(data);
  html += fmt::format("</main><script type=\"application/json\" id=\"data\">{}</script>",
                      script_json(schedules_json(data)));
  html += fmt::format("<script>{}</script><script>{}</script></body></html>\n", asset("dygraph.min.js"),
                      asset("report.js"));
  return html;
}

}  // namespace faultline::harness
