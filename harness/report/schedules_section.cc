#include <fmt/format.h>

#include <cmath>
#include <map>

#include "harness/expected_rate.h"
#include "harness/report/html.h"

namespace faultline::harness {
namespace {

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

// Lost values over non-zero ones, over all gradients of the step; null where the step was not measured.
Json lost_share(const StepRecord& step) {
  int64_t lost = 0, nonzero = 0;
  for (const auto& [tensor, count] : step.underflow) {
    lost += count.lost;
    nonzero += count.nonzero;
  }
  return nonzero == 0 ? Json(nullptr)
                      : Json(100.0 * static_cast<double>(lost) / static_cast<double>(nonzero));
}

Json series(const std::string& recipe, const Ledger& ledger, size_t index) {
  Json s = {{"recipe", recipe}, {"colour", line_colour(index)}};
  for (const char* key : {"loss", "scale", "lr", "lr_expected", "lost", "skipped"}) s[key] = Json::array();
  const std::vector<double> expected = expected_rates(ledger);
  for (const StepRecord& step : ledger.steps()) {
    const double rate = expected[static_cast<size_t>(step.step)];
    s["loss"].push_back(number(step.loss));
    s["scale"].push_back(number(std::log2(step.scale)));
    s["lr"].push_back(number(step.lr));
    s["lr_expected"].push_back(rate_differs(step.lr, rate) ? number(rate) : Json(nullptr));
    s["lost"].push_back(lost_share(step));
    if (step.skipped) s["skipped"].push_back(step.step);
  }
  return s;
}

// Share of each gradient tensor's non-zero values that became zero in 16 bits, over all measured steps.
std::string underflow_table(const ReportData& data) {
  std::map<std::string, std::map<std::string, amp::UnderflowCount>> tensors;
  std::vector<std::string> recipes;
  for (const auto& [recipe, ledger] : data.baselines) {
    bool measured = false;
    for (const StepRecord& step : ledger.steps()) {
      for (const auto& [tensor, count] : step.underflow) {
        amp::UnderflowCount& total = tensors[tensor][recipe];
        total.lost += count.lost;
        total.nonzero += count.nonzero;
        measured = true;
      }
    }
    if (measured) recipes.push_back(recipe);
  }
  if (recipes.empty()) return "";
  std::vector<std::vector<std::string>> rows = {{"gradient"}};
  rows[0].insert(rows[0].end(), recipes.begin(), recipes.end());
  for (const auto& [tensor, by_recipe] : tensors) {
    std::vector<std::string> row = {tensor};
    for (const std::string& recipe : recipes) {
      const auto it = by_recipe.find(recipe);
      const bool some = it != by_recipe.end() && it->second.nonzero > 0;
      row.push_back(some ? fmt::format("{:.3g} %", 100.0 * static_cast<double>(it->second.lost) /
                                                       static_cast<double>(it->second.nonzero))
                         : "-");
    }
    rows.push_back(row);
  }
  return details("Underflow per gradient tensor: share of the non-zero values that became zero in 16 bits",
                 table(rows));
}

// "f16 skipped 2 of 200 steps: 3, 7." for each recipe that skipped; the first ten by number.
std::string skips(const ReportData& data) {
  std::string html;
  for (const auto& [recipe, ledger] : data.baselines) {
    std::string listed;
    int64_t count = 0;
    for (const StepRecord& step : ledger.steps()) {
      if (!step.skipped) continue;
      if (++count <= 10) listed += fmt::format("{}{}", count == 1 ? "" : ", ", step.step);
    }
    if (count == 0) continue;
    html += fmt::format("<p>{} skipped {} of {} steps: {}{}.</p>", escaped(recipe), count, ledger.size(),
                        listed, count > 10 ? ", ..." : "");
  }
  return html;
}

struct Plot {
  const char *id, *title, *unit;
};
constexpr Plot kPlots[] = {{"loss", "Training loss", "nats"},
                           {"scale", "Loss scale", "log2; ▲ skipped step"},
                           {"lr", "Learning rate used", "dashed: expected where it differs"},
                           {"lost", "Gradient values lost to underflow", "% of the non-zero values"}};

}  // namespace

Json schedules_json(const ReportData& data) {
  Json all = Json::array();
  for (size_t i = 0; i < data.baselines.size(); ++i) {
    all.push_back(series(data.baselines[i].first, data.baselines[i].second, i));
  }
  return {{"series", all}};
}

std::string schedules_section(const ReportData& data) {
  std::string html =
      "<section><h2>Schedules</h2><p>One line a recipe (unperturbed runs), over training steps. "
      "Drag to zoom, double-click to see all.</p><p class=\"keys\">";
  for (size_t i = 0; i < data.baselines.size(); ++i) {
    html += fmt::format("<span><i style=\"background:{}\"></i>{}</span> ", line_colour(i),
                        escaped(data.baselines[i].first));
  }
  html += "</p>";
  for (const Plot& plot : kPlots) {
    html += fmt::format("<h3>{} <small>{}</small></h3><div class=\"plot\" id=\"plot-{}\"></div>", plot.title,
                        plot.unit, plot.id);
  }
  for (const auto& [recipe, ledger] : data.baselines) {
    const std::vector<double> expected = expected_rates(ledger);
    for (const StepRecord& step : ledger.steps()) {
      if (!rate_differs(step.lr, expected[static_cast<size_t>(step.step)])) continue;
      html += fmt::format(
          "<p class=\"finding\">Finding: {} used the learning rate {} at step {}, its schedule asks for "
          "{}.</p>",
          escaped(recipe), step.lr, step.step, expected[static_cast<size_t>(step.step)]);
      break;
    }
  }
  return html + skips(data) + underflow_table(data) + "</section>";
}

}  // namespace faultline::harness
