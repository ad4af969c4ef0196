#include "harness/report/report.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "engine/base/file.h"
#include "harness/expected_rate.h"
#include "harness/manifest.h"
#include "harness/run.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace faultline::harness {
namespace {

constexpr int64_t kSteps = 12;
constexpr const char* kHostile = "f16 </script><img src=x onerror=\"harmed=1\">&amp;'<b>";

Recipe recipe(const std::string& name) {
  Recipe recipe;
  recipe.set_value("name", name, "test");
  recipe.set_value("model.name", "mlp", "test");
  recipe.set_value("data.name", "synthetic", "test");
  recipe.set_value("schedule.name", "cosine", "test");
  recipe.set_value("amp.on_skip", "hold", "test");
  return recipe;
}

// What a mixed-precision training may leave behind: NaN and infinite losses, skipped steps, counts of
// underflow on some steps.
std::vector<StepRecord> records(const Recipe& recipe) {
  std::vector<StepRecord> steps;
  Digest root;
  int64_t advances = 0;
  for (int64_t s = 0; s < kSteps; ++s) {
    StepRecord r;
    r.step = s;
    r.skipped = r.overflow = s == 3 || s == 7;
    r.scale = s < 3 ? 65536 : s < 7 ? 32768 : 0.5;
    r.lr = expected_rate(recipe, kSteps, advances);
    r.advances = advances;
    r.loss = s == 3   ? std::numeric_limits<float>::quiet_NaN()
             : s == 7 ? std::numeric_limits<float>::infinity()
                      : 2.3f / static_cast<float>(s + 1);
    r.entries = {{"leaf/fc1.weight", digest_bytes(&s, sizeof(s))}};
    r.time_us = 1000 + 10 * s;
    if (s % 4 == 0) r.underflow = {{"fc1/dw", {s, 1, 16}}, {"fc2/dw", {1, 0, 16}}};
    if (!r.skipped) ++advances;
    steps.push_back(r);
  }
  return steps;
}

void write_ledger(const std::string& folder, const Recipe& recipe, std::vector<StepRecord> steps,
                  double offset) {
  std::filesystem::create_directories(folder);
  const Json resolved = {{"steps", kSteps},
                         {"ops", {{{"name", "fc1"}}, {{"name", "relu"}}, {{"name", "fc2"}}}}};
  LedgerWriter writer(folder + "/" + kLedgerFile, make_manifest(recipe, resolved, {}));
  for (const StepRecord& step : steps) writer.add(step);
  for (int64_t s : {0, 4, 12}) {
    writer.add_snapshot(
        s, {{"fc1.weight", Tensor::from({2}, Dtype::kF32, {1, 0.5 + offset * static_cast<double>(s)})},
            {"fc2.weight", Tensor::from({1}, Dtype::kF32, {-0.25})}});
  }
  writer.close({0.5, 0.6, 0.75, kSteps, 1050}, {}, {});
}

Cell bitwise_cell(const std::string& recipe, const std::string& folder, const std::string& perturbation,
                  int64_t seed) {
  Cell cell{recipe, perturbation, seed, folder + "/baseline/seed-1", folder + "/" + perturbation + "/seed-1",
            "",     {},           1100};
  cell.verdict.bitwise = true;
  cell.verdict.accuracy_a = cell.verdict.accuracy_b = 0.75;
  cell.verdict.sentence = "Bitwise equal: all 12 steps and the final state.";
  return cell;
}

Cell parted_cell(const std::string& recipe, const std::string& folder, int64_t seed) {
  Cell cell = bitwise_cell(recipe, folder, "shuffled", seed);
  Verdict& v = cell.verdict;
  v.bitwise = false;
  v.first_differing_step = 4;
  v.sentence = "The weight gradient of fc1 differs first. Cause: order of <additions>.";
  Difference& d = v.first.emplace();
  d.step = 3;
  d.place = "fc1/dw";
  d.op = "linear";
  d.phase = "backward";
  d.shape = "[2, 8]";
  d.format = "f16";
  d.index = {1, 5};
  d.a = 1;
  d.b = 1.0009765625;
  d.bits_a = "3c00";
  d.bits_b = "3c01";
  d.ulp = d.largest_ulp = 1;
  d.differing = 2;
  d.elements = 16;
  d.exact = 1.0002;
  d.nearer = "a";
  return cell;
}

// A folder with the ledgers of three recipes: one as it should be, one that used another rate than its
// schedule's, one with a name that wants to get out of its place in the page.
struct Example {
  Example() {
    const char* base = std::getenv("TEST_TMPDIR");
    std::string name = std::string(base ? base : "/tmp") + "/report-XXXXXX";
    sweep.folder = mkdtemp(name.data());
    sweep.recipes = {recipe("plain"), recipe("late rate"), recipe(kHostile)};
    sweep.perturbations = {"repeat", "shuffled"};
    sweep.seeds = {1, 2, 3};
    sweep.command = "bazel run //harness:sweep -- --recipes 'a & <b>' --seeds 1,2,3";
    const std::vector<std::string> folders = {"plain", "late", "hostile"};
    for (size_t i = 0; i < folders.size(); ++i) {
      steps.push_back(records(sweep.recipes[i]));
      if (i == 1) steps[i][5].lr *= 2;
      for (const char* run : {"baseline", "repeat", "shuffled"}) {
        write_ledger(sweep.folder + "/" + folders[i] + "/" + run + "/seed-1", sweep.recipes[i], steps[i],
                     run == std::string("shuffled") ? 1e-4 : 0);
      }
      for (int64_t seed : sweep.seeds) {
        sweep.cells.push_back(bitwise_cell(sweep.recipes[i].name(), folders[i], "repeat", seed));
        sweep.cells.push_back(seed == 1 ? bitwise_cell(sweep.recipes[i].name(), folders[i], "shuffled", seed)
                                        : parted_cell(sweep.recipes[i].name(), folders[i], seed));
      }
    }
    sweep.cells[0].failure = "no space left on <device>";
    sweep.cells.back().verdict.schedule = ScheduleParting{7, 32768, 0.5, "fc1.weight", 7, false, true};
  }
  ~Example() { std::filesystem::remove_all(sweep.folder); }

  // What the plots must show, as JSON: NaN and infinity are null.
  Json plotted(const std::function<Json(const StepRecord&)>& value) const {
    Json series = {{"step", Json::array()}};
    for (int64_t s = 0; s < kSteps; ++s) series["step"].push_back(s);
    for (size_t i = 0; i < steps.size(); ++i) {
      for (const StepRecord& step : steps[i]) series[sweep.recipes[i].name()].push_back(value(step));
    }
    return series;
  }

  SweepResult sweep;
  std::vector<std::vector<StepRecord>> steps;  // per recipe
};

Json inspect(const Example& example) {
  const auto found = [](const std::string& program) {
    return run_process({"sh", "-c", "command -v " + program}).status == 0;
  };
  for (const char* program : {"python3", "chromium", "chromedriver"}) {
    if (!found(program))
      skip("no " + std::string(program) + ": apt-get install python3 chromium chromium-driver");
  }
  const std::string page = example.sweep.folder + "/" + kReportFile;
  const std::string result = example.sweep.folder + "/seen.json";
  write_file(page, report_html(example.sweep));
  const ProcessEnd end =
      run_process({"python3", "tests/harness/inspect_page.py", page, result, "1280", "400"});
  INFO(end.errors);
  REQUIRE(end.status == 0);
  return Json::parse(read_file(result));
}

// One browser for all cases: it takes seconds to start.
const Example& example() {
  static const Example kExample;
  return kExample;
}
const Json& seen() {
  static const Json kSeen = inspect(example());
  return kSeen;
}

TEST_CASE("report: the plotted values are the ledgers', and what is not finite is a gap") {
  const Json& plots = seen().at("plots");
  CHECK(plots.at("loss") == example().plotted([](const StepRecord& s) {
    return std::isfinite(s.loss) ? Json(static_cast<double>(s.loss)) : Json(nullptr);
  }));
  CHECK(plots.at("scale") == example().plotted([](const StepRecord& s) { return Json(std::log2(s.scale)); }));
  CHECK(plots.at("lost") == example().plotted([](const StepRecord& s) {
    return s.underflow.empty() ? Json(nullptr) : Json(100.0 * static_cast<double>(s.step + 1) / 32);
  }));
  Json rates = plots.at("lr");
  rates.erase("late rate expected");
  CHECK(rates == example().plotted([](const StepRecord& s) { return Json(s.lr); }));
}

TEST_CASE("report: every skipped step has its mark") {
  Json marks = Json::array();
  for (const Recipe& recipe : example().sweep.recipes) {
    for (int step : {3, 7}) marks.push_back({recipe.name(), step});
  }
  CHECK(seen().at("skips") == marks);
}

TEST_CASE("report: a rate that is not its schedule's is a finding, plotted beside the expected one") {
  const double rate = example().steps[0][5].lr;
  Json expected(std::vector<Json>(kSteps, nullptr));
  expected[5] = rate;
  CHECK(seen().at("plots").at("lr").at("late rate expected") == expected);
  CHECK(seen().at("plots").at("lr").size() == 5);  // the steps, three recipes, one expected rate
  REQUIRE(seen().at("findings").size() == 1);
  CHECK_THAT(seen().at("findings")[0].get<std::string>(),
             Catch::Contains("late rate used") && Catch::Contains("at step 5"));
}

TEST_CASE("report: the matrix has a mark and words, and counts the seeds") {
  CHECK(seen().at("matrix") == Json({{"recipe", "repeat", "shuffled"},
                                     {"plain", "! failed", "~ step 3, fc1/dw\n2 of 3 seeds"},
                                     {"late rate", "✓ bitwise", "~ step 3, fc1/dw\n2 of 3 seeds"},
                                     {kHostile, "✓ bitwise", "✗ step 3, fc1/dw\n2 of 3 seeds"}}));
  CHECK(seen().at("headline") == answer(example().sweep));
}

TEST_CASE("report: every cell of the matrix leads to its detail") {
  CHECK(seen().at("broken_links") == Json::array());
  CHECK(seen().at("links").size() == 6);
  CHECK(seen().at("articles").size() == 6);
  const auto text = seen().at("text").get<std::string>();
  CHECK_THAT(text, Catch::Contains("no space left on <device>"));
  CHECK_THAT(text, Catch::Contains("order of <additions>"));
  CHECK_THAT(text, Catch::Contains("added in an order drawn from the seed"));  // what shuffled means
  CHECK_THAT(text, Catch::Contains("plain skipped 2 of 12 steps: 3, 7."));
  CHECK_THAT(text, Catch::Contains("0 01111 0000000001"));
  CHECK_THAT(text, Catch::Contains("What keeps the bits: reduction.order=ordered") &&
                       Catch::Contains("A step took 1.05 ms in the baseline, 1.1 ms under shuffled."));
}

TEST_CASE("report: no name gets out of its place in the page") {
  CHECK(seen().at("harmed") == false);
  CHECK(seen().at("images") == 0);
  CHECK(seen().at("after").at("harmed") == false);
  CHECK(seen().at("after").at("images") == 0);
  CHECK(seen().at("scripts") == 3);
  for (const Json& legend : seen().at("after").at("legends")) {
    CHECK_THAT(legend.get<std::string>(), Catch::Contains(kHostile));
  }
}

TEST_CASE("report: a zoom is shared by all plots") {
  CHECK(seen().at("after").at("windows") == Json({{2, 5}, {2, 5}, {2, 5}, {2, 5}}));
}

TEST_CASE("report: the page needs nothing from elsewhere and says nothing on the console") {
  CHECK(seen().at("resources") == Json::array());
  CHECK(seen().at("requests").size() == 1);  // the page itself
  CHECK(seen().at("console") == Json::array());
}

TEST_CASE("report: the page is not wider than its window") {
  CHECK(seen().at("page_widths").at("1280") <= 1280);
  CHECK(seen().at("page_widths").at("400") <= 400);
}

TEST_CASE("report: an op that ran in one run only has no element to show") {
  SweepResult sweep = example().sweep;
  for (Cell& cell : sweep.cells) {
    if (!cell.verdict.first) continue;
    Difference none;
    none.place = "relu";
    cell.verdict.first = none;
  }
  CHECK_THAT(report_html(sweep), Catch::Contains("step 0, relu") && !Catch::Contains("class=\"element\""));
}

TEST_CASE("report: a sweep without a finished cell has a page") {
  SweepResult sweep;
  sweep.recipes = {recipe("plain")};
  sweep.perturbations = {"repeat"};
  sweep.seeds = {1};
  CHECK_THAT(report_html(sweep), Catch::Contains("No cell has a verdict."));
}

}  // namespace
}  // namespace faultline::harness
