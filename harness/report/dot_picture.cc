#include "harness/report/dot_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "harness/report/html.h"

namespace faultline::harness {
namespace {

constexpr int kColumn = 8, kRow = 14, kLabel = 110, kNumber = 130, kMostColumns = 56, kGap = 8;
constexpr int kNothingCut = std::numeric_limits<int>::min();
constexpr size_t kSides = 2;

// One term as a row of bits, at the columns of their powers of two.
struct Row {
  std::string label;
  double value = 0;
  int quantum = kNothingCut;  // bits below this power of two are cut
};

int lowest_bit(double value) {
  int bit = std::ilogb(value) - 52;
  while (std::fmod(value, std::ldexp(1.0, bit + 1)) == 0) ++bit;
  return bit;
}

bool has_bit(double value, int bit) {
  return std::fmod(std::floor(std::ldexp(std::fabs(value), -bit)), 2) != 0;
}

std::vector<Row> rows_of(const DotStep& step) {
  std::vector<Row> rows = {{"accumulator", step.accumulator, step.quantum}};
  for (size_t i = 0; i < step.products.size(); ++i) {
    rows.push_back(
        {fmt::format("a·b, k = {}", step.first + static_cast<int64_t>(i)), step.products[i], step.quantum});
  }
  rows.push_back({"sum of the kept", step.sum});
  rows.push_back({"converted", step.result});
  return rows;
}

// The powers of two that a picture shows, the largest on the left: the same for all units.
struct Columns {
  explicit Columns(const std::vector<UnitWindow>& windows) {
    int lowest = std::numeric_limits<int>::max();
    top = std::numeric_limits<int>::min();
    for (const UnitWindow& window : windows) {
      for (const DotStep& step : window.steps) {
        for (const Row& row : rows_of(step)) {
          if (row.value == 0 || !std::isfinite(row.value)) continue;
          top = std::max(top, std::ilogb(row.value));
          lowest = std::min(lowest, lowest_bit(row.value));
        }
      }
    }
    if (top < lowest) top = lowest = 0;
    count = std::min(top - lowest + 1, kMostColumns);
  }
  int x(int bit) const { return kLabel + kColumn * (top - bit); }
  int end() const { return top - count; }  // the first power of two that is not shown

  int top, count;
};

std::string scale(const Columns& columns) {
  std::string svg;
  for (int bit = columns.top; bit > columns.end(); --bit) {
    if (bit % 8 != 0) continue;
    svg += fmt::format("<text x=\"{}\" y=\"11\">2<tspan dy=\"-3\" font-size=\"8\">{}</tspan></text>",
                       columns.x(bit), bit);
  }
  return svg;
}

// A strip from the first one bit to the last, squares for the ones, and the line of the cut.
std::string row_svg(const Columns& columns, const Row& row, int y) {
  std::string kept, cut, svg = fmt::format("<text x=\"0\" y=\"{}\">{}</text>", y + 11, row.label);
  if (row.value != 0 && std::isfinite(row.value)) {
    const int first = std::ilogb(row.value), last = std::max(lowest_bit(row.value), columns.end() + 1);
    svg += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>", columns.x(first), y + 2,
                       kColumn * (first - last + 1) - 1, kRow - 4);
    for (int bit = first; bit >= last; --bit) {
      if (!has_bit(row.value, bit)) continue;
      (bit >= row.quantum ? kept : cut) +=
          fmt::format("M{} {}h{}v{}h-{}z", columns.x(bit), y + 2, kColumn - 1, kRow - 4, kColumn - 1);
    }
  }
  const char* whole = row.quantum == kNothingCut ? "total" : "kept";
  if (!kept.empty()) svg += fmt::format("<path class=\"{}\" d=\"{}\"/>", whole, kept);
  if (!cut.empty()) svg += fmt::format("<path class=\"cut\" d=\"{}\"/>", cut);
  if (row.quantum > columns.end() && row.quantum <= columns.top) {
    svg += fmt::format("<line x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/>", columns.x(row.quantum - 1), y,
                       y + kRow);
  }
  return svg + fmt::format("<text x=\"{}\" y=\"{}\">{:+.9g}</text>", columns.x(columns.end()) + 8, y + 11,
                           row.value);
}

std::string picture(const UnitWindow& window, const Columns& columns) {
  std::string rows;
  int y = kRow;
  for (const DotStep& step : window.steps) {
    for (const Row& row : rows_of(step)) {
      rows += row_svg(columns, row, y);
      y += kRow;
    }
    y += kGap;
  }
  return fmt::format(
      "<svg class=\"dot\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
      "aria-label=\"what {2} "
      "keeps of each product\">{3}{4}</svg>",
      kLabel + kColumn * columns.count + kNumber, y, escaped(window.unit), scale(columns), rows);
}

std::string units_table(const DotDetail& dot) {
  std::vector<std::vector<std::string>> rows = {
      {"unit", "value", "bits", "off the exact value by", "how it adds"}};
  for (const UnitResult& unit : dot.units) {
    rows.push_back({unit.unit, fmt::format("{}", unit.value), unit.bits,
                    fmt::format("{:+.2g}", unit.value - dot.exact), unit.order});
  }
  rows.push_back({"exact", fmt::format("{}", dot.exact), "", "", "the sum, rounded once to f64"});
  return "<div class=\"scroll units\">" + table(rows) + "</div>";
}

std::string window_html(const UnitWindow& window, const Columns& columns) {
  const bool special =
      std::any_of(window.steps.begin(), window.steps.end(), [](const DotStep& step) { return step.special; });
  if (window.steps.empty() || special) return "";
  return fmt::format("<div class=\"scroll\"><h5>{}: {} step{}, ending in {:.9g}</h5>{}</div>",
                     escaped(window.unit), window.steps.size(), window.steps.size() == 1 ? "" : "s",
                     window.result, picture(window, columns));
}

}  // namespace

std::string dot_picture(const DotDetail& dot) {
  std::string html = fmt::format(
      "<h4>The same element on other units</h4><p>It is the sum of {} products of {} numbers, accumulated in "
      "{}.</p>",
      dot.k, escaped(dot.format), escaped(dot.accumulator));
  html += units_table(dot);
  const Columns columns(dot.window);
  std::string sides, others;
  for (size_t i = 0; i < dot.window.size(); ++i) {
    (i < kSides ? sides : others) += window_html(dot.window[i], columns);
  }
  if (sides.empty()) return html;
  html += fmt::format(
      "<p>Products {} to {} are the first after which the two sums differ; both start them from {:.9g}. A "
      "square "
      "is a bit that is one, at its power of two. A step cuts all its terms at one line, a fixed number of "
      "bits "
      "below its largest exponent, and adds what is left exactly: <span class=\"kept\">■</span> kept, "
      "<span class=\"cut\">■</span> cut.</p><div class=\"dots\">{}</div>",
      dot.window_first, std::min(dot.window_first + kDotWindow, dot.k) - 1, dot.window_start, sides);
  if (others.empty()) return html;
  return html + details("The same products on the other units", "<div class=\"dots\">" + others + "</div>");
}

}  // namespace faultline::harness
