#include <fmt/format.h>

#include "harness/perturbation.h"
#include "harness/report/html.h"

namespace faultline::harness {
namespace {

const char* css_class(Standing standing) {
  switch (standing) {
    case Standing::kBitwise:
      return "bitwise";
    case Standing::kParts:
      return "parts";
    case Standing::kBreaks:
      return "breaks";
    case Standing::kFailed:
      break;
  }
  return "failed";
}

std::string matrix_cell(const SweepResult& sweep, const std::string& recipe,
                        const std::string& perturbation) {
  const Cell* cell = worst(sweep, recipe, perturbation);
  if (!cell) return "<td class=\"none\">·</td>";
  const Standing s = standing(*cell);
  const std::string share = share_text(sweep, *cell);
  return fmt::format("<td class=\"{}\"><a href=\"#{}\"><span class=\"mark\">{}</span> {}{}</a></td>",
                     css_class(s), cell_anchor(sweep, *cell), mark(s), escaped(cell_text(*cell)),
                     share.empty() ? "" : "<small>" + escaped(share) + "</small>");
}

// What each column changes, for readers who have not read the manual.
std::string meanings(const SweepResult& sweep) {
  const auto& registry = Registry<Perturbation>::instance();
  std::string html = "<dl>";
  for (const std::string& name : sweep.perturbations) {
    if (!registry.contains(name)) continue;
    html += fmt::format("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(registry.find(name).meaning));
  }
  return html + "</dl>";
}

}  // namespace

std::string matrix_section(const ReportData& data) {
  const SweepResult& sweep = data.sweep;
  std::string html =
      "<section><h2>What stays bitwise equal</h2><div class=\"scroll\"><table class=\"matrix\" "
      "id=\"matrix\"><tr><th>recipe</th>";
  for (const std::string& p : sweep.perturbations) html += fmt::format("<th>{}</th>", escaped(p));
  html += "</tr>";
  for (const Recipe& recipe : sweep.recipes) {
    html += fmt::format("<tr><th>{}</th>", escaped(recipe.name()));
    for (const std::string& p : sweep.perturbations) html += matrix_cell(sweep, recipe.name(), p);
    html += "</tr>";
  }
  html +=
      "</table></div><p class=\"legend\"><span class=\"bitwise\">✓ every bit equal</span> "
      "<span class=\"parts\">~ bits part; loss scale, skipped steps and accuracy agree</span> "
      "<span class=\"breaks\">✗ the loss scale, a skipped step or the accuracy parts too</span> <span "
      "class=\"failed\">! no verdict</span> <span class=\"none\">· not run, or not for this recipe</span></p>"
      "<p>A cell names the first step and the first op whose inputs were equal and whose output was not; "
      "it leads to its detail. Each column trains every recipe once more with one thing changed:</p>";
  return html + meanings(sweep) + "</section>";
}

}  // namespace faultline::harness
