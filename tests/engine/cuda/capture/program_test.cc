// The program itself: what it says without a GPU, and on one its results against the models.
#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>

#include "engine/mma/conformance.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace faultline {
namespace {

const char* const kProgram = "engine/cuda/capture/capture";

harness::ProcessEnd capture(std::vector<std::string> arguments) {
  if (!std::filesystem::exists(kProgram))
    skip("the CUDA toolkit 13 is not installed, so that capture was not built");
  arguments.insert(arguments.begin(), std::filesystem::absolute(kProgram));
  return run_process(arguments);
}

// The first word of each line of --list.
std::vector<std::string> instructions() {
  std::istringstream lines(capture({"--list"}).output);
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) names.push_back(line.substr(0, line.find(' ')));
  return names;
}

TEST_CASE("capture program: lists its instructions on any machine") {
  const std::vector<std::string> names = instructions();
  CHECK(names.size() == 24);
  CHECK(std::find(names.begin(), names.end(), "wgmma.m64n8k16.f16.f32") != names.end());
}

TEST_CASE("capture program: without a GPU it says so in one line, exit code 2") {
  const harness::ProcessEnd end = capture({"--instruction", "mma.m16n8k8.f16.f32", "--tiles", "1"});
  if (end.status == 0) skip("there is a GPU here");
  CHECK(end.status == 2);
  CHECK(end.output.empty());
  CHECK_THAT(end.errors, Catch::StartsWith("capture: gpu: no NVIDIA GPU can be used here: "));
  CHECK(std::count(end.errors.begin(), end.errors.end(), '\n') == 1);
}

TEST_CASE("capture program: what this GPU gives is what its model gives, instruction by instruction") {
  int captured = 0;
  for (const std::string& name : instructions()) {
    const harness::ProcessEnd end = capture({"--instruction", name, "--tiles", "90"});
    if (end.errors.find("no NVIDIA GPU") != std::string::npos) skip("no GPU here to capture from");
    if (end.errors.find("no such instruction") != std::string::npos) continue;
    INFO(name << " " << end.errors);
    REQUIRE(end.status == 0);
    const VectorFile file = parse_vector_file(name, end.output);
    const auto& units = Registry<Unit>::instance();
    if (!units.contains(file.chip)) continue;
    const std::vector<UnitFormat>& formats = units.find(file.chip).formats;
    if (std::find(formats.begin(), formats.end(), UnitFormat{file.input, file.d}) == formats.end()) continue;
    CHECK(judge(name, file, file.chip).differences == 0);
    ++captured;
  }
  CHECK(captured > 0);
}

}  // namespace
}  // namespace faultline
