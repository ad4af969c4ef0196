#include "harness/cli/command_line.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "engine/base/error.h"

namespace faultline::harness {
namespace {

struct Call {
  std::string text, argument, folder;
  std::vector<std::string> texts, given;
  int64_t integer = 0;
  bool flag = false;
};
Call last_call;

const Registered<Subcommand> kProbe{
    "probe", {"keeps what it was given", [](Options& options) {
                const auto& text = options.text("--text", "default", "a text");
                const auto& texts = options.texts("--many", "texts");
                const auto& integer = options.integer("--count", 7, "a number");
                const auto& flag = options.flag("--flag", "a flag");
                const auto& argument = options.argument("place", "where");
                return [&] {
                  last_call = {text,    argument, std::filesystem::current_path(), texts, options.given(),
                               integer, flag};
                  if (argument == "throw") throw Error(ErrorCode::kData, "probe", "two\nlines");
                  if (argument == "memory") throw std::bad_alloc();
                  return argument == "one" ? kNotAsExpected : kAsExpected;
                };
              }}};

struct Outcome {
  int code;
  std::string output, errors;
};

Outcome call(std::vector<std::string> arguments) {
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

void check_one_line(const Outcome& outcome, const std::string& part) {
  CHECK(outcome.code == kFailure);
  CHECK(outcome.output.empty());
  CHECK_THAT(outcome.errors, Catch::StartsWith("faultline: "));
  CHECK_THAT(outcome.errors, Catch::Contains(part));
  CHECK(std::count(outcome.errors.begin(), outcome.errors.end(), '\n') == 1);
}

TEST_CASE("command line: options reach the subcommand, and its code is the program's") {
  CHECK(call({"faultline", "probe", "here"}).code == kAsExpected);
  CHECK(last_call.text == "default");
  CHECK(last_call.integer == 7);
  CHECK_FALSE(last_call.flag);
  const std::vector<std::string> given = {"one", "--text",  "a b", "--many=x", "--many",
                                          "y,z", "--count", "-3",  "--flag"};
  std::vector<std::string> arguments = {"/some/where/faultline", "probe"};
  arguments.insert(arguments.end(), given.begin(), given.end());
  CHECK(call(arguments).code == kNotAsExpected);
  CHECK(last_call.text == "a b");
  CHECK(last_call.texts == std::vector<std::string>{"x", "y,z"});
  CHECK(last_call.integer == -3);
  CHECK(last_call.flag);
  CHECK(last_call.argument == "one");
  CHECK(last_call.given == given);
}

TEST_CASE("command line: every mistake is one line on stderr with the nearest known name") {
  check_one_line(call({"faultline"}), "choose one of probe");
  check_one_line(call({"faultline", "prob"}), "did you mean 'probe'?");
  check_one_line(call({"faultline", "probe"}), "place is required");
  check_one_line(call({"faultline", "probe", "here", "--flg"}),
                 "'--flg' is not expected, did you mean '--flag'?");
  check_one_line(call({"faultline", "probe", "here", "--txet=3"}), "did you mean '--text'?");
  check_one_line(call({"faultline", "probe", "here", "--count", "many"}), "--count");
  check_one_line(call({"faultline", "probe", "here", "--text"}), "--text");
  check_one_line(call({"faultline", "probe", "here", "there"}), "'there' is not expected");
}

TEST_CASE("command line: what a subcommand throws becomes one line") {
  check_one_line(call({"faultline", "probe", "throw"}), "probe: two lines");
  check_one_line(call({"faultline", "probe", "memory"}), "memory: exhausted");
}

TEST_CASE("command line: help lists the subcommands, and a subcommand's options") {
  const Outcome all = call({"faultline", "--help"});
  CHECK(all.code == kAsExpected);
  CHECK_THAT(all.output, Catch::Contains("probe") && Catch::Contains("keeps what it was given"));
  const Outcome one = call({"faultline", "probe", "--help"});
  CHECK(one.code == kAsExpected);
  CHECK_THAT(one.output, Catch::Contains("--count") && Catch::Contains("a number"));
}

TEST_CASE("command line: the caller's folder under bazel run is the current one") {
  const std::filesystem::path before = std::filesystem::current_path();
  setenv("BUILD_WORKING_DIRECTORY", "/usr", 1);
  CHECK(call({"faultline", "probe", "here"}).code == kAsExpected);
  CHECK(last_call.folder == "/usr");
  CHECK(std::getenv("BUILD_WORKING_DIRECTORY") == nullptr);
  setenv("BUILD_WORKING_DIRECTORY", "/no/such/folder", 1);
  check_one_line(call({"faultline", "probe", "here"}), "/no/such/folder cannot be entered");
  unsetenv("BUILD_WORKING_DIRECTORY");
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace faultline::harness
