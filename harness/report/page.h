#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace faultline::harness {

// Text that is safe between tags and inside quoted attributes.
std::string escaped(std::string_view text);

// JSON that is safe inside a <script> element.
std::string script_json(const nlohmann::json& json);

// <table> of escaped text; the first row is the head, the first column heads the rows.
std::string table(const std::vector<std::vector<std::string>>& rows);

// A block that opens when asked: <details><summary>...</summary>body</details>.
std::string details(std::string_view summary, std::string_view body);

// Monospaced text with a caption, to be copied as it is.
std::string command(std::string_view text);

// Colours of lines, by position: told apart by people who do not see all colours too.
std::string line_colour(size_t index);

// The text of a file that every page may hold: "report.css". Throws kInternal if there is none of that name.
std::string_view asset(std::string_view name);

// A whole page, all in one file: `headline` and `setting` (escaped here) over the sections' HTML.
struct Page {
  std::string title, headline, setting, styles, sections, scripts;
};
std::string page_html(const Page& page);

}  // namespace faultline::harness
