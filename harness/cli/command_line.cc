#include "harness/cli/command_line.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/text.h"

namespace faultline::harness {
namespace {

// `bazel run` starts a program in its runfiles and names the caller's folder; from here on it is the current
// one, for child processes too.
void enter_callers_folder() {
  const char* folder = std::getenv("BUILD_WORKING_DIRECTORY");
  if (folder == nullptr) return;
  if (chdir(folder) != 0) {
    throw Error(ErrorCode::kIo, "BUILD_WORKING_DIRECTORY",
                std::string(folder) + " cannot be entered: " + strerror(errno));
  }
  unsetenv("BUILD_WORKING_DIRECTORY");
}

// A child of a sweep that died without stopping its children must not go on alone.
void end_with_parent() {
  const char* parent = std::getenv("FAULTLINE_PARENT");
  if (parent == nullptr) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != std::atol(parent)) _exit(kFailure);
  unsetenv("FAULTLINE_PARENT");
}

std::string usage() {
  std::string text = "usage: faultline SUBCOMMAND [OPTIONS]\n\n";
  for (const auto& [name, subcommand] : Registry<Subcommand>::instance().entries()) {
    text +=
        "  " + name + std::string(12 - std::min<size_t>(11, name.size()), ' ') + subcommand.meaning + "\n";
  }
  return text + "\nfaultline SUBCOMMAND --help says more.\n";
}

int run_subcommand(const std::string& name, const std::vector<std::string>& arguments) {
  const Subcommand& subcommand = Registry<Subcommand>::instance().find(name);
  Options options(name, subcommand.meaning);
  const std::function<int()> body = subcommand.define(options);
  const int code = options.parse(arguments) ? body() : kAsExpected;
  if (!std::cout.flush()) throw Error(ErrorCode::kIo, "standard output", "cannot be written");
  return code;
}

int dispatch(std::vector<std::string> arguments) {
  const std::string program = arguments[0].substr(arguments[0].rfind('/') + 1);
  arguments.erase(arguments.begin());
  const bool named = !arguments.empty() && Registry<Subcommand>::instance().contains(arguments[0]);
  if (program == "sweep" && !named) return run_subcommand("sweep", arguments);
  if (arguments.empty()) {
    throw Error(ErrorCode::kArgument, "subcommand",
                "missing, choose one of " + join(Registry<Subcommand>::instance().names(), ", "));
  }
  if (arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    std::cout << usage();
    return kAsExpected;
  }
  return run_subcommand(arguments[0], {arguments.begin() + 1, arguments.end()});
}

int fail(std::string what) {
  for (char& c : what) {
    if (c == '\n') c = ' ';
  }
  std::cerr << "faultline: " << what << std::endl;
  return kFailure;
}

}  // namespace

int command_line(int argc, char** argv) {
  // A full disk or a closed pipe is an error that a write reports.
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  try {
    end_with_parent();
    enter_callers_folder();
    return dispatch({argv, argv + argc});
  } catch (const std::bad_alloc&) {
    return fail("memory: exhausted; use fewer jobs or a smaller model");
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

}  // namespace faultline::harness
