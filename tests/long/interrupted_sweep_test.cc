// A sweep that is stopped hundreds of times, each time it has got anywhere, ends with the matrix of an
// undisturbed one.
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include <sstream>

#include "harness/sweep_result.h"
#include "tests/support/sweep_program.h"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kSweep = {"sweep", "--recipe", "tiny.yaml", "--recipe", "half.yaml"};

// matrix.csv without its last column, which is a time.
std::string untimed(const std::string& csv) {
  std::istringstream rows(csv);
  std::string result;
  for (std::string row; std::getline(rows, row);) result += row.substr(0, row.rfind(',')) + "\n";
  return result;
}

TEST_CASE("sweep: stopped 300 times by SIGINT, SIGTERM and SIGKILL, it ends with the same matrix") {
  const SweepProgram whole, program;
  REQUIRE(whole.run(kSweep).status == 0);
  const std::string csv = untimed(whole.read("faultline-out/matrix.csv"));
  const fs::path folder = program.folder() / "faultline-out";
  std::mt19937 random(7);
  int stopped = 0, completed = 0;
  while (stopped < 300) {
    const std::string signal = std::vector<std::string>{"INT", "TERM", "KILL"}[random() % 3];
    const std::string seconds = std::to_string(std::uniform_real_distribution(0.01, 0.5)(random));
    const std::string foreground = random() % 2 == 0 ? " --foreground" : "";
    const ProcessEnd end = program.run_by_shell(
        "exec timeout --preserve-status -s " + signal + foreground + " " + seconds + " \"$@\"", kSweep);
    INFO(signal << " after " << seconds << " s: " << end.errors);
    if (fs::exists(folder / kSweepFile)) CHECK_NOTHROW(read_sweep(folder.string()));
    if (end.status != 0) {
      ++stopped;
      continue;
    }
    ++completed;
    CHECK(untimed(program.read("faultline-out/matrix.csv")) == csv);
    fs::remove_all(folder);
  }
  CHECK(program.run(kSweep).status == 0);
  CHECK(untimed(program.read("faultline-out/matrix.csv")) == csv);
  CHECK(completed > 0);
}

}  // namespace
}  // namespace faultline::harness
