#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/numerics/ulp.h"
#include "harness/growth.h"
#include "harness/perturbation.h"
#include "harness/processes.h"
#include "harness/report/dot_picture.h"
#include "harness/report/html.h"
#include "harness/run.h"

namespace faultline::harness {
namespace {

// The pattern of `mine` with the bits that differ from `other` marked; sign, exponent and fraction apart.
std::string marked_bits(const std::string& mine, const std::string& other) {
  std::string html;
  for (size_t i = 0; i < mine.size(); ++i) {
    const bool differs = i >= other.size() || mine[i] != other[i];
    html += differs ? fmt::format("<b>{}</b>", mine[i]) : std::string(1, mine[i]);
  }
  return html;
}

// Hexadecimal in groups of four digits.
std::string grouped(const std::string& hex) {
  std::string text;
  for (size_t i = 0; i < hex.size(); ++i) text += (i > 0 && i % 4 == 0 ? " " : "") + std::string(1, hex[i]);
  return text;
}

std::string ulp_text(int64_t ulp) {
  return ulp == std::numeric_limits<int64_t>::max() ? "not a number on one side" : fmt::format("{} ulp", ulp);
}

std::string element_table(const Cell& cell) {
  const Difference& d = *cell.verdict.first;
  const Dtype format = dtype_from_name(d.format);
  const std::string a = bits_binary(std::stoull(d.bits_a, nullptr, 16), format);
  const std::string b = bits_binary(std::stoull(d.bits_b, nullptr, 16), format);
  const auto row = [&](const std::string& who, double value, const std::string& hex, const std::string& bits,
                       const std::string& other) {
    return fmt::format("<tr><th>{}</th><td>{}</td><td class=\"bits\">{}</td><td class=\"bits\">{}</td></tr>",
                       escaped(who), value, grouped(hex), marked_bits(bits, other));
  };
  std::string html =
      "<div class=\"scroll\"><table class=\"element\"><tr><th>run</th><th>value</th><th>hexadecimal</th>"
      "<th>sign, exponent, fraction</th></tr>";
  html += row("a, baseline", d.a, d.bits_a, a, b) + row("b, " + cell.perturbation, d.b, d.bits_b, b, a);
  if (d.exact) {
    html += fmt::format("<tr><th>exact</th><td>{}</td><td colspan=\"2\">{}</td></tr>", *d.exact,
                        d.nearer == "a"   ? "a is nearer"
                        : d.nearer == "b" ? "b is nearer"
                                          : "both are equally near");
  }
  return html +
         fmt::format("<tr><th>distance</th><td>{:.3g}</td><td colspan=\"2\">{}</td></tr></table></div>",
                     std::fabs(d.a - d.b), ulp_text(d.ulp));
}

// The ops of the model in forward order, the parted one marked.
std::string graph(const Ledger& ledger, const Difference& d) {
  std::string html = "<ol class=\"graph\">";
  for (const Json& op : ledger.manifest().at("resolved").at("ops")) {
    const std::string name = op.at("name").get<std::string>();
    if (name.find("/cast") != std::string::npos || name.find('#') != std::string::npos) continue;
    const bool here =
        d.place == name || d.place.rfind(name + "/", 0) == 0 || d.place.rfind(name + ".", 0) == 0;
    html += fmt::format("<li{}>{}</li>", here ? " class=\"here\"" : "", escaped(name));
  }
  return html + "</ol>";
}

std::string cell_colour(double relative) {
  if (!(relative > 0)) return "#f4f4f4";
  const double t = std::clamp((std::log10(relative) + 9) / 9, 0.0, 1.0);  // 1e-9 .. 1
  return fmt::format("hsl({:.0f} 70% {:.0f}%)", 50 - 45 * t, 90 - 55 * t);
}

// Layers by snapshot steps; colour is the logarithm of the distance relative to the layer's largest weight.
std::string growth_map(const std::vector<GrowthPoint>& points, const Verdict& verdict) {
  std::vector<int64_t> steps;
  std::vector<std::string> parameters;
  for (const GrowthPoint& p : points) {
    if (std::find(steps.begin(), steps.end(), p.step) == steps.end()) steps.push_back(p.step);
    if (std::find(parameters.begin(), parameters.end(), p.parameter) == parameters.end()) {
      parameters.push_back(p.parameter);
    }
  }
  if (steps.empty()) return "";
  constexpr int kWidth = 44, kHeight = 20;
  size_t longest = 0;
  for (const std::string& parameter : parameters) longest = std::max(longest, parameter.size());
  const int left = 14 + 7 * static_cast<int>(longest);
  const int width = left + kWidth * static_cast<int>(steps.size()) + 4;
  const int height = kHeight * static_cast<int>(parameters.size() + 1) + 4;
  std::string svg = fmt::format(
      "<div class=\"scroll\"><svg class=\"growth\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\" aria-label=\"growth of the difference\">",
      width, height);
  std::vector<std::vector<std::string>> rows = {{"parameter"}};
  for (int64_t step : steps) rows[0].push_back("step " + std::to_string(step));
  for (const std::string& parameter : parameters) rows.push_back({parameter});
  for (const GrowthPoint& p : points) {
    const auto column = std::find(steps.begin(), steps.end(), p.step) - steps.begin();
    const auto row = std::find(parameters.begin(), parameters.end(), p.parameter) - parameters.begin();
    svg += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>{}, step {}: {:.3g} of "
        "its largest weight, {}</title></rect>",
        left + kWidth * column, kHeight * row, kWidth - 1, kHeight - 1, cell_colour(p.relative),
        escaped(p.parameter), p.step, p.relative, ulp_text(p.ulps));
    rows[static_cast<size_t>(row) + 1].push_back(fmt::format("{:.2g}", p.relative));
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    svg += fmt::format("<text x=\"0\" y=\"{}\">{}</text>", kHeight * static_cast<int>(i) + 14,
                       escaped(parameters[i]));
  }
  svg += fmt::format("<text x=\"0\" y=\"{}\">step</text>", height - 6);
  for (size_t i = 0; i < steps.size(); ++i) {
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                       left + kWidth * static_cast<int>(i) + kWidth / 2, height - 6, steps[i]);
  }
  if (verdict.schedule) {
    const auto after = std::upper_bound(steps.begin(), steps.end(), verdict.schedule->step) - steps.begin();
    svg +=
        fmt::format("<line x1=\"{0}\" x2=\"{0}\" y1=\"0\" y2=\"{1}\"/>", left + kWidth * after, height - 18);
  }
  return svg + "</svg></div>" +
         details("The same as numbers (largest difference over the largest weight)", table(rows));
}

// Key to the heat map's colours.
std::string shades() {
  std::string html = "<p class=\"shades\">";
  for (const double relative : {0.0, 1e-9, 1e-7, 1e-5, 1e-3, 1e-1}) {
    html += fmt::format("<i style=\"background:{}\"></i>{:g}", cell_colour(relative), relative);
  }
  return html + "</p>";
}

// What keeps the bits, and beside it what that costs: step times of both runs.
std::string remedy(const Cell& cell, const Ledger& baseline) {
  const std::string perturbation = column_of(cell.perturbation);
  const auto& registry = Registry<Perturbation>::instance();
  if (!registry.contains(perturbation) || registry.find(perturbation).remedy.empty()) return "";
  std::string html = fmt::format("<p>What keeps the bits: {}.", escaped(registry.find(perturbation).remedy));
  const auto result = baseline.result();
  if (result && cell.step_time_us > 0) {
    html += fmt::format(" A step took {:.3g} ms in the baseline, {:.3g} ms under {}.",
                        result->step_time_us / 1000, cell.step_time_us / 1000, escaped(cell.perturbation));
  }
  return html + "</p>";
}

std::string parted_detail(const ReportData& data, const Cell& cell) {
  const Verdict& v = cell.verdict;
  const std::string folder = data.sweep.folder + "/";
  std::string html;
  if (v.first && v.first->elements > 0) {  // none: the op ran on one side only
    const Difference& d = *v.first;
    html += fmt::format("<h4>The first element that differs: {} of {}, {} {}</h4>", to_string(d.index),
                        escaped(d.place), escaped(d.format), escaped(d.shape));
    html += element_table(cell);
    if (d.dot) html += dot_picture(*d.dot);
  }
  const Ledger a = Ledger::open(folder + cell.baseline_folder + "/" + kLedgerFile);
  const Ledger b = Ledger::open(folder + cell.run_folder + "/" + kLedgerFile);
  if (v.first) html += "<h4>Where in the model</h4>" + graph(a, *v.first);
  if (v.schedule) {
    html += fmt::format(
        "<p>The loss-scale schedules part at step {}: {} in the baseline, {} under {}{}.</p>",
        v.schedule->step, v.schedule->scale_a, v.schedule->scale_b, escaped(cell.perturbation),
        v.schedule->gradient.empty() ? ""
                                     : fmt::format("; the gradient of {} was not finite at element {}",
                                                   escaped(v.schedule->gradient), v.schedule->element));
  }
  const std::string map = growth_map(growth(a, b), v);
  if (!map.empty()) {
    html += fmt::format(
        "<h4>How the difference grows</h4><p>Largest difference in a layer over its largest weight, before "
        "each of these steps{}.</p>{}{}",
        v.schedule ? "; the line is where the loss scales part" : "", shades(), map);
  }
  return html +
         fmt::format(
             "<p>After the run: loss {:.4g} and {:.4g} nats, test accuracy {:.2f} % and {:.2f} %, largest "
             "difference of a weight {:.3g}.</p>",
             v.final_loss_a, v.final_loss_b, 100 * v.accuracy_a, 100 * v.accuracy_b,
             v.largest_weight_difference) +
         remedy(cell, a);
}

// What each seed says, where there are several; the detail is that of the worst.
std::string seeds_table(const SweepResult& sweep, const Cell& cell) {
  if (sweep.seeds.size() < 2) return "";
  std::vector<std::vector<std::string>> rows = {{"seed", "verdict"}};
  for (const Cell& other : sweep.cells) {
    if (other.recipe != cell.recipe || other.perturbation != cell.perturbation) continue;
    rows.push_back(
        {std::to_string(other.seed), fmt::format("{} {}{}", mark(standing(other)), cell_text(other),
                                                 other.seed == cell.seed ? ", told here" : "")});
  }
  return table(rows);
}

std::string cell_detail(const ReportData& data, const Cell& cell) {
  std::string html = fmt::format("<article id=\"{}\"><h3>{} {} under {}</h3>", cell_anchor(data.sweep, cell),
                                 mark(standing(cell)), escaped(cell.recipe), escaped(cell.perturbation));
  html += seeds_table(data.sweep, cell);
  if (!cell.failure.empty()) return html + fmt::format("<p>{}</p></article>", escaped(cell.failure));
  html += fmt::format("<p class=\"sentence\">{}</p>", escaped(cell.verdict.sentence));
  if (parted(cell)) html += parted_detail(data, cell);
  html += command(fmt::format("bazel run //harness:faultline -- diff {} {}",
                              shell_quoted(data.sweep.folder + "/" + cell.baseline_folder),
                              shell_quoted(data.sweep.folder + "/" + cell.run_folder)));
  return html + "</article>";
}

}  // namespace

std::string cells_section(const ReportData& data) {
  std::vector<const Cell*> cells;
  for (const Recipe& recipe : data.sweep.recipes) {
    std::set<std::string> told;  // with their variants
    for (const Cell& cell : data.sweep.cells) {
      if (cell.recipe != recipe.name() || !told.insert(cell.perturbation).second) continue;
      cells.push_back(worst(data.sweep, cell.recipe, cell.perturbation));
    }
  }
  // Each opens two ledgers and compares the weights in them.
  const auto count = static_cast<int64_t>(cells.size());
  std::vector<std::string> details(cells.size());
  parallel_for("report", count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) details[i] = cell_detail(data, *cells[i]);
  });
  return fmt::format("<section><h2>Cell by cell</h2>{}</section>", fmt::join(details, ""));
}

}  // namespace faultline::harness
