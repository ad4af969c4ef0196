#include <fmt/format.h>

#include "harness/report/html.h"

namespace faultline::harness {

std::string provenance_section(const ReportData& data) {
  std::string html =
      "<section><h2>How it was made</h2><p>The whole sweep again:</p>" + command(data.sweep.command);
  for (const Recipe& recipe : data.sweep.recipes) {
    html += details("Recipe " + recipe.name() + ", every setting",
                    fmt::format("<pre>{}</pre>", escaped(recipe.yaml())));
  }
  for (const auto& [recipe, ledger] : data.baselines) {
    html += details("Manifest of " + recipe + ": formats of every op, build, machine, data sums",
                    fmt::format("<pre>{}</pre>", escaped(ledger.manifest().dump(2))));
  }
  return html + "</section>";
}

}  // namespace faultline::harness
