// The digests in lenet.txt, on every instruction set of this processor and with any number of threads.
#include "tests/golden/golden.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <sstream>

#include "engine/base/cpu.h"
#include "tests/golden/golden_files.h"

namespace faultline::harness {
namespace {

std::vector<std::string> golden_lines(const std::string& recipe) {
  std::istringstream file{std::string(golden_files().front().second)};
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(recipe + " ", 0) == 0) lines.push_back(line);
  }
  return lines;
}

void check_golden(const std::string& recipe) {
  const std::vector<std::string> golden = golden_lines(recipe);
  REQUIRE(golden.size() == kGoldenSteps);
  for (const std::string& set : instruction_sets()) {
    for (const int threads : {1, 2, 3, 8}) {
      for (const StepRecord& record : golden_steps(recipe, set, threads)) {
        const std::string what = first_difference(recipe, record, golden[static_cast<size_t>(record.step)]);
        if (what.empty()) continue;
        FAIL(
            fmt::format("{} on {}, threads {}: step {} differs first, at {}.\n"
                        "If bits change on purpose: tools/bazel run //tests/golden:update",
                        recipe, set, threads, record.step, what));
      }
    }
  }
}

TEST_CASE("golden: lenet in f32") { check_golden("f32"); }
TEST_CASE("golden: lenet in bf16") { check_golden("bf16"); }
TEST_CASE("golden: lenet in f16 with a dynamic scale") { check_golden("f16-dynamic"); }
TEST_CASE("golden: lenet in f16 on h100") { check_golden("f16-h100"); }

TEST_CASE("golden: a step that differs is named with its first op") {
  std::vector<StepRecord> records = golden_steps("f32", "best", 1);
  const std::string golden = golden_lines("f32").back();
  StepRecord record = records.back();
  CHECK(first_difference("f32", record, golden) == "");
  record.entries[30].digest.bytes[0] ^= 1;
  record.entries[40].digest.bytes[0] ^= 1;
  CHECK(first_difference("f32", record, golden) == record.entries[30].name);
  record = records.back();
  record.loss += 1;
  CHECK(first_difference("f32", record, golden) == "the loss or the verdict");
  record.entries.pop_back();
  CHECK(first_difference("f32", record, golden) == "the list of its ops");
}

}  // namespace
}  // namespace faultline::harness
