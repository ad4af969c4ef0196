#include <fmt/format.h>

#include <algorithm>

#include "harness/report/html.h"

namespace faultline::harness {
namespace {

// Quartile distance of a run's step times over their median: the noise of this machine.
double noise(const Ledger& ledger) {
  std::vector<double> times;
  for (const StepRecord& step : ledger.steps()) times.push_back(static_cast<double>(step.time_us));
  if (times.size() < 4) return 1;
  std::sort(times.begin(), times.end());
  return (times[3 * times.size() / 4] - times[times.size() / 4]) / times[times.size() / 2];
}

// A number with as many digits as the noise leaves meaning to.
std::string rounded(double value, double noise) {
  return noise > 0.05 ? fmt::format("{:.2g}", value) : fmt::format("{:.3g}", value);
}

}  // namespace

std::string cost_section(const ReportData& data) {
  std::vector<std::vector<std::string>> rows = {{"recipe", "a step", "spread"}};
  for (const std::string& p : data.sweep.perturbations) rows[0].push_back(p);
  for (const auto& [recipe, ledger] : data.baselines) {
    const auto result = ledger.result();
    if (!result) continue;
    const double spread = noise(ledger);
    std::vector<std::string> row = {recipe, rounded(result->step_time_us / 1000, spread) + " ms",
                                    fmt::format("± {:.0f} %", 50 * spread)};
    for (const std::string& p : data.sweep.perturbations) {
      const Cell* cell = worst(data.sweep, recipe, p);
      row.push_back(cell && cell->step_time_us > 0
                        ? rounded(cell->step_time_us / result->step_time_us, spread) + " ×"
                        : "-");
    }
    rows.push_back(row);
  }
  return "<section><h2>What it costs</h2><p>Median time of a training step with its digests, measured in "
         "this sweep "
         "while the other jobs ran; spread is half the distance of the quartiles. The columns after it give "
         "a perturbed "
         "run's step time over the baseline's: below 1 is what giving up the fixed setting would buy. A "
         "column "
         "that changes nothing which costs time, such as repeat, shows how far the noise goes.</p>" +
         table(rows) + "</section>";
}

}  // namespace faultline::harness
