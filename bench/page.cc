#include "bench/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/statistics.h"
#include "harness/report/page.h"

namespace faultline::bench {
namespace {

using Json = nlohmann::json;
using harness::escaped;

constexpr int kLabel = 330, kHalf = 330, kRow = 18, kFactor = 8;

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

// A figure with as many digits as its spread leaves meaning to.
std::string rate(const Json& figure) {
  const double value = figure.at("rate").get<double>(), spread = figure.at("spread").get<double>();
  return fmt::format("{} ± {:.1f} %", rounded(value, spread > 0.05 ? 2 : 3), 100 * spread);
}

// Bars of ours over the fastest other on a scale of factors: to the right we are faster.
std::string ratio_picture(const Json& rows) {
  std::vector<const Json*> shown;
  for (const Json& row : rows) {
    if (row.contains("ratio")) shown.push_back(&row);
  }
  if (shown.empty()) return "";
  const int height = static_cast<int>(shown.size() + 1) * kRow, middle = kLabel + kHalf;
  const auto x = [&](double ratio) {
    return middle + kHalf * std::clamp(std::log2(ratio) / std::log2(kFactor), -1.0, 1.0);
  };
  std::string svg =
      fmt::format("<div class=\"scroll\"><svg class=\"ratios\" width=\"{}\" height=\"{}\" role=\"img\">",
                  kLabel + 2 * kHalf + 60, height);
  for (const double mark : {0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0}) {
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/><text x=\"{0:.1f}\" y=\"12\" "
        "text-anchor=\"middle\">{3} ×</text>",
        x(mark), kRow, height, mark);
  }
  for (size_t i = 0; i < shown.size(); ++i) {
    const Json& row = *shown[i];
    const double ratio = row.at("ratio").get<double>(), end = x(ratio);
    const int y = static_cast<int>(i + 1) * kRow;
    svg += fmt::format(
        "<text x=\"0\" y=\"{}\">{}, threads {}</text><rect class=\"{}\" x=\"{:.1f}\" y=\"{}\" "
        "width=\"{:.1f}\" height=\"{}\"/><text x=\"{:.1f}\" y=\"{}\">{:.2f}</text>",
        y + 13, escaped(row.at("name").get<std::string>()), row.at("threads").get<int>(),
        ratio < 1 ? "slower" : "faster", std::min<double>(middle, end), y + 3, std::fabs(end - middle),
        kRow - 6, std::max<double>(middle, end) + 4, y + 13, ratio);
  }
  return svg + "</svg></div>";
}

// Rows with the same contenders become one table.
std::string row_tables(const Json& result) {
  std::string html;
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : result.at("rows")) {
    std::vector<std::string> head = {result.at("unit").get<std::string>(), "threads"};
    std::vector<std::string> cells = {row.at("name").get<std::string>(), row.at("threads").dump()};
    for (const Json& figure : row.at("figures")) {
      head.push_back(figure.at("name").get<std::string>());
      cells.push_back(rate(figure));
    }
    if (row.contains("ratio")) {
      head.push_back(row.at("figures").size() > 2 ? "ours / fastest other" : "ours / other");
      cells.push_back(fmt::format("{:.2f} ×", row.at("ratio").get<double>()));
    }
    if (row.contains("limit")) {
      head.push_back("of " + result.at("limit").get<std::string>());
      cells.push_back(fmt::format(
          "{} of {:.3g}",
          percent(row.at("figures")[0].at("rate").get<double>() / row.at("limit").at("rate").get<double>()),
          row.at("limit").at("rate").get<double>()));
    }
    if (row.contains("remark")) {
      head.push_back("remark");
      cells.push_back(row.at("remark").get<std::string>());
    }
    if (!rows.empty() && rows[0] != head) {
      html += harness::table(rows);
      rows.clear();
    }
    if (rows.empty()) rows.push_back(head);
    rows.push_back(cells);
  }
  return rows.empty() ? html : html + harness::table(rows);
}

std::string means_table(const Json& means) {
  if (means.empty()) return "";
  std::vector<std::vector<std::string>> rows = {
      {"ours over", "threads", "geometric mean", "worst", "of rows"}};
  for (const Json& mean : means) {
    rows.push_back({mean.at("against").get<std::string>(), mean.at("threads").dump(),
                    fmt::format("{:.2f} ×", mean.at("mean").get<double>()),
                    fmt::format("{:.2f} ×", mean.at("worst").get<double>()), mean.at("rows").dump()});
  }
  return harness::table(rows);
}

std::string pairs_table(const Json& pairs) {
  if (pairs.empty()) return "";
  std::vector<std::vector<std::string>> rows = {
      {"cost of", "threads", "of a step", "95 % interval", "mean", "pairs"}};
  const auto signed_percent = [](const Json& share) {
    return fmt::format("{:+.2f} %", 100 * share.get<double>());
  };
  for (const Json& pair : pairs) {
    rows.push_back({pair.at("name").get<std::string>(), pair.at("threads").dump(),
                    signed_percent(pair.at("cost")),
                    signed_percent(pair.at("low")) + " to " + signed_percent(pair.at("high")),
                    signed_percent(pair.at("mean")), pair.at("pairs").dump()});
  }
  return harness::table(rows);
}

std::string section(const Json& result) {
  std::string html =
      fmt::format("<section><h2>{}</h2><p>{}.", escaped(result.at("program").get<std::string>()),
                  escaped(result.at("meaning").get<std::string>()));
  if (result.contains("failure")) {
    return html + fmt::format("</p><p class=\"finding\">{}</p></section>",
                              escaped(result.at("failure").get<std::string>()));
  }
  if (!result.at("rows").empty()) {
    html += fmt::format(" Medians of {} repetitions in turns, ± half the distance of the quartiles.",
                        result.at("repetitions").get<int>());
  }
  html += "</p>" + means_table(result.at("means")) + ratio_picture(result.at("rows"));
  const size_t rows = result.at("rows").size();
  html +=
      rows > 12 ? harness::details(fmt::format("All {} rows", rows), row_tables(result)) : row_tables(result);
  html += pairs_table(result.at("pairs"));
  for (const Json& note : result.at("notes"))
    html += fmt::format("<p>{}</p>", escaped(note.get<std::string>()));
  return html + "</section>";
}

const Json* mean_of(const Json& results, const std::string& program, int threads) {
  for (const Json& result : results) {
    if (result.at("program") != program || !result.contains("means")) continue;
    for (const Json& mean : result.at("means")) {
      if (mean.at("against") == "the fastest" && mean.at("threads") == threads) return &mean;
    }
  }
  return nullptr;
}

// The machine and the commit, once: all programs ran on one.
std::string setting(const Json& results) {
  for (const Json& result : results) {
    if (!result.contains("manifest")) continue;
    const Json& manifest = result.at("manifest");
    const Json& git = manifest.at("git");
    std::string commit = git.is_object() ? git.at("commit").get<std::string>().substr(0, 12) : "unknown";
    if (git.is_object() && !git.at("diff").get<std::string>().empty()) commit += " with local changes";
    return fmt::format("{}, {}; gcc {}; commit {}.", manifest.at("cpu").at("model").get<std::string>(),
                       manifest.at("cpu").at("instruction_set").get<std::string>(),
                       manifest.at("build").at("compiler").get<std::string>(), commit);
  }
  return "Nothing has been measured.";
}

std::string provenance(const Json& results, const std::string& command) {
  std::string html = "<section><h2>How it was made</h2><p>All again:</p>" + harness::command(command);
  for (const Json& result : results) {
    if (!result.contains("manifest")) continue;
    const Json shown = {{"peers", result.at("libraries")}, {"manifest", result.at("manifest")}};
    html += harness::details("Manifest of " + result.at("program").get<std::string>(),
                             fmt::format("<pre>{}</pre>", escaped(shown.dump(2))));
  }
  return html + "</section>";
}

}  // namespace

std::string bench_answer(const Json& results) {
  std::string text;
  const std::pair<const char*, const char*> kinds[] = {
      {"gemm", "f32 products"}, {"conv", "convolutions"}, {"train", "training steps"}};
  for (const auto& [program, what] : kinds) {
    std::string by_threads;
    for (const int threads : {1, 2}) {
      const Json* mean = mean_of(results, program, threads);
      if (!mean) continue;
      by_threads += fmt::format("{}{:.2f} times on {} thread{}", by_threads.empty() ? "" : ", ",
                                mean->at("mean").get<double>(), threads, threads > 1 ? "s" : "");
    }
    if (!by_threads.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", what, by_threads);
  }
  return text.empty() ? "No comparison with others was made."
                      : "Our speed over the fastest other's, geometric means. " + text + ".";
}

std::string bench_html(const Json& results, const std::string& command) {
  harness::Page page{"Faultline benchmarks", bench_answer(results), setting(results), "", "", ""};
  for (const Json& result : results) page.sections += section(result);
  page.sections += provenance(results, command);
  return harness::page_html(page);
}

}  // namespace faultline::bench
