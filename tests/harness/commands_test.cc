#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "harness/compare.h"
#include "tests/harness/small_runs.h"
#include "tests/support/process.h"

namespace faultline::harness {
namespace {

using Catch::Matchers::Contains;

ProcessEnd program(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), std::filesystem::absolute("harness/faultline").string());
  return run_process(arguments);
}

TEST_CASE("diff: exit code 0 for equal runs, 1 for different ones, 2 for what is no ledger") {
  Runs runs;
  const Recipe recipe = small();
  const std::string a = runs.path(recipe), b = runs.path(recipe);
  const std::string c = runs.path(with(recipe, {{"precision.split_k", "4"}}));
  CHECK(program({"diff", a, b}).status == 0);
  const ProcessEnd different = program({"diff", a, std::filesystem::path(c).parent_path()});
  CHECK(different.status == 1);
  CHECK_THAT(different.output, Contains("differs first") && Contains("recipe/precision.split_k"));
  const ProcessEnd json = program({"diff", a, c, "--json"});
  CHECK(json.status == 1);
  CHECK(verdict_from_json(Json::parse(json.output)).cause == "split-K");
  const ProcessEnd missing = program({"diff", a, c + ".nowhere"});
  CHECK(missing.status == 2);
  CHECK_THAT(missing.errors, Contains(c + ".nowhere"));
}

TEST_CASE("diff: a ledger that is cut short or is none is one line, exit code 2") {
  Runs runs;
  const std::string a = runs.path(small()), b = runs.path(small());
  std::filesystem::resize_file(b, std::filesystem::file_size(b) / 2);
  for (const std::string& other : {b, std::string("/etc/hostname"), std::string("/")}) {
    const ProcessEnd end = program({"diff", a, other});
    CHECK(end.status == 2);
    CHECK(end.output.empty());
    CHECK_THAT(end.errors, Catch::StartsWith("faultline: ") && Contains(other));
    CHECK(std::count(end.errors.begin(), end.errors.end(), '\n') == 1);
  }
}

TEST_CASE("explain, verify and replay read the ledgers that a run wrote") {
  Runs runs;
  const Recipe recipe = small();
  const std::string a = runs.path(recipe), b = runs.path(with(recipe, {{"precision.split_k", "4"}}));
  const ProcessEnd explained = program({"explain", a, b});
  CHECK(explained.status == 1);
  CHECK_THAT(explained.output, Contains("fc2.weight") && Contains("relative"));
  CHECK(program({"verify", a}).status == 0);
  CHECK(program({"verify", a, "--step", "6"}).status == 2);
  CHECK_THAT(program({"replay", a, "--step", "2", "--op", "fc2"}).output,
             Contains("fc2/dw") && Contains("grad_output"));
  CHECK_THAT(program({"replay", a, "--op", "fc9"}).errors, Contains("did you mean"));
}

}  // namespace
}  // namespace faultline::harness
