#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/registry.h"

namespace faultline::harness {

// Exit codes of every subcommand.
constexpr int kAsExpected = 0;
constexpr int kNotAsExpected = 1;
constexpr int kFailure = 2;

// Declares a subcommand's options. Each call returns the place that holds the value once the command line is
// read. (CLI11 behind it is slow to compile, so it stays in one file.)
class Options {
 public:
  explicit Options(const std::string& subcommand, const std::string& meaning);
  ~Options();

  const bool& flag(const std::string& name, const std::string& meaning);
  const int64_t& integer(const std::string& name, int64_t fallback, const std::string& meaning);
  const std::string& text(const std::string& name, const std::string& fallback, const std::string& meaning);
  const std::vector<std::string>& texts(const std::string& name, const std::string& meaning);  // repeatable
  // Positional ones, in the order of declaration; the first form must be given.
  const std::string& argument(const std::string& name, const std::string& meaning);
  const std::string& argument(const std::string& name, const std::string& fallback,
                              const std::string& meaning);
  const std::vector<std::string>& arguments(const std::string& name,
                                            const std::string& meaning);  // one at least

  // Returns false if --help was asked for (and printed). Throws kArgument with the nearest known option.
  bool parse(const std::vector<std::string>& arguments);
  const std::vector<std::string>& given() const { return given_; }  // the arguments as they were parsed

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
  std::vector<std::string> given_;
};

// One subcommand of the program; each registers itself in a file of its own in harness/cli.
struct Subcommand {
  static constexpr const char* kKind = "subcommand";

  std::string meaning;  // one line, for --help
  // Declares the options and returns what runs once they are read: it returns the exit code and throws Error.
  std::function<std::function<int()>(Options& options)> define;
};

// Runs the program and returns its exit code. Every failure is one line on stderr, "faultline: where: what",
// and kFailure. A program called `sweep` enters at that subcommand. Relative paths are the caller's, under
// `bazel run` too.
int command_line(int argc, char** argv);

}  // namespace faultline::harness
