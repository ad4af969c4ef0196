// The command `faultline conformance`, as a person calls it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <vector>

#include "engine/base/file.h"
#include "harness/cli/command_line.h"
#include "tests/support/skip.h"

namespace faultline::harness {
namespace {

struct Outcome {
  int code;
  std::string output, errors;
};

Outcome conformance(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"faultline", "conformance"});
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  std::ostringstream output, errors;
  std::streambuf* const cout = std::cout.rdbuf(output.rdbuf());
  std::streambuf* const cerr = std::cerr.rdbuf(errors.rdbuf());
  const int code = command_line(static_cast<int>(pointers.size()), pointers.data());
  std::cout.rdbuf(cout);
  std::cerr.rdbuf(cerr);
  return {code, output.str(), errors.str()};
}

// A file of one amx_bf16 product: 1 * 1 + 2 * 1 + 0.5.
const char* const kText =
    "# chip=amx_bf16 in=bf16 c=f32 d=f32 m=1 n=1 k=2 tiles=1\n"
    "normal 3f804000 3f803f80 3f000000 40600000\n";

std::string file_with(const std::string& text) {
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/vectors.txt";
  write_file(path, text);
  return path;
}

std::string changed(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

void check_refused(const std::string& text, const std::string& place) {
  const Outcome outcome = conformance({file_with(text)});
  CHECK(outcome.code == kFailure);
  CHECK(outcome.output.empty());
  CHECK_THAT(outcome.errors, Catch::StartsWith("faultline: ") && Catch::Contains("vectors.txt: " + place));
  CHECK(std::count(outcome.errors.begin(), outcome.errors.end(), '\n') == 1);
}

std::vector<std::string> captures() {
  std::vector<std::string> paths;
  const std::string folder = std::string(std::getenv("TEST_SRCDIR")) + "/shared/shared/mma_captures";
  if (!std::filesystem::exists(folder))
    skip("the captures of real GPUs are not beside the checkout: ../shared/mma_captures");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST_CASE("conformance: every result captured on a real GPU is given by the chip's model") {
  const std::vector<std::string> paths = captures();
  const Outcome outcome = conformance(paths);
  INFO(outcome.output << outcome.errors);
  CHECK(outcome.code == kAsExpected);
  std::istringstream lines(outcome.output);
  size_t files = 0;
  for (std::string line; std::getline(lines, line); ++files) {
    CHECK_THAT(line, Catch::Contains("400 tiles, 400 elements") && Catch::EndsWith(" 0 differences"));
  }
  CHECK(files == paths.size());
  CHECK(files >= 30);
}

TEST_CASE("conformance: a flipped bit gives exit code 1 and is shown with both patterns and the exact sum") {
  CHECK(conformance({file_with(kText)}).code == kAsExpected);
  const Outcome outcome = conformance({file_with(changed(kText, "40600000", "40600001"))});
  CHECK(outcome.code == kNotAsExpected);
  CHECK_THAT(outcome.output, Catch::Contains("1 tiles, 1 elements (0 by the fast path too), 1 differences"));
  CHECK_THAT(
      outcome.output,
      Catch::Contains("line 2, normal, row 0, column 0: captured 40600001 (3.50000024), amx_bf16 gives "
                      "40600000 (3.5); the exact sum is 3.5"));
}

TEST_CASE("conformance: files that cannot be read are one line with line and column, and exit code 2") {
  check_refused("", "line 1, column 1: the file is empty");
  check_refused(changed(kText, "3f803f80", "3f80"), "line 2, column 17: B has 4 digits");
  check_refused(changed(kText, "3f803f80", "3f80xf80"), "line 2, column 21: 'x' is not a hex digit");
  check_refused(changed(kText, "tiles=1", ""), "line 1, column");
  check_refused(changed(kText, " 40600000", ""), "line 2, column 34: the line ends after 4 words");
  check_refused(changed(kText, "c=f32", "c=f16"), "line 2, column 26: C has 8 digits");
  check_refused(changed(kText, "chip=amx_bf16", "note=none"), "names no chip");
  check_refused(changed(kText, "chip=amx_bf16", "chip=z80"), "unknown unit 'z80'");
  const Outcome folder = conformance({std::getenv("TEST_TMPDIR")});
  CHECK(folder.code == kFailure);
  CHECK_THAT(folder.errors, Catch::Contains("cannot be read: Is a directory"));
  CHECK_THAT(conformance({"/no/such/file"}).errors,
             Catch::Contains("/no/such/file: cannot be read: No such file"));
  CHECK_THAT(conformance({}).errors, Catch::Contains("files is required"));
}

TEST_CASE("conformance: --unit outranks the chip that the file names") {
  const Outcome outcome = conformance({"--unit", "avx512_bf16", file_with(kText), file_with(kText)});
  CHECK(outcome.code == kAsExpected);
  CHECK_THAT(outcome.output, Catch::Contains("vectors.txt: avx512_bf16, 1 tiles"));
}

}  // namespace
}  // namespace faultline::harness
