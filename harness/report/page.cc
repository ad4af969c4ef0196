#include "harness/report/page.h"

#include <fmt/format.h>

#include "engine/base/error.h"
#include "harness/report/report_files.h"

namespace faultline::harness {

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string script_json(const nlohmann::json& json) {
  std::string safe;
  for (const char c : json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
    if (c == '<')
      safe += "\\u003c";
    else
      safe += c;
  }
  return safe;
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::string html = "<div class=\"scroll\"><table>";
  for (size_t r = 0; r < rows.size(); ++r) {
    html += "<tr>";
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const char* tag = r == 0 || c == 0 ? "th" : "td";
      html += fmt::format("<{0}>{1}</{0}>", tag, escaped(rows[r][c]));
    }
    html += "</tr>";
  }
  return html + "</table></div>";
}

std::string details(std::string_view summary, std::string_view body) {
  return fmt::format("<details><summary>{}</summary>{}</details>", escaped(summary), body);
}

std::string command(std::string_view text) {
  return fmt::format("<pre class=\"command\">{}</pre>", escaped(text));
}

// Okabe and Ito's palette, dark ones first.
std::string line_colour(size_t index) {
  static const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                   "#56b4e9", "#e69f00", "#444444", "#8c5a2b"};
  return kColours[index % std::size(kColours)];
}

std::string_view asset(std::string_view name) {
  for (const auto& [file, text] : report_files()) {
    if (file == name) return text;
  }
  throw Error(ErrorCode::kInternal, "report", "no embedded file " + std::string(name));
}

std::string page_html(const Page& page) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{}</title>"
      "<link rel=\"icon\" href=\"data:,\"><style>{}\n{}</style></head><body><main>"
      "<header><p class=\"brand\">Faultline</p><h1>{}</h1><p class=\"setting\">{}</p></header>"
      "{}</main>{}</body></html>\n",
      escaped(page.title), page.styles, asset("report.css"), escaped(page.headline), escaped(page.setting),
      page.sections, page.scripts);
}

}  // namespace faultline::harness
