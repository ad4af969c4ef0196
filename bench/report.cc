// Runs the benchmarks one after the other and writes one page and one JSON file of all they measured.
// Run: bazel run //bench:report [-- PROGRAM...] [--out=FOLDER] [Google Benchmark's options]
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "bench/page.h"
#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "harness/processes.h"

namespace faultline::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::vector<std::string> kPrograms = {"gemm",  "conv",   "elementwise",  "train",
                                            "units", "ledger", "bf16_product", "sweep"};

struct Request {
  std::vector<std::string> programs, flags;
  fs::path folder = "faultline-bench";
  std::string command = "bazel run //bench:report";
};

std::string help() {
  return fmt::format(
      "report [PROGRAM...] [--out=FOLDER] [--patience=SECONDS] [--instruction_set=SET] [OPTION...]\n"
      "  Runs benchmarks, all of them if none is named: {}.\n"
      "  Writes bench.html and bench.json into FOLDER, else into faultline-bench.\n"
      "  OPTION is one of Google Benchmark's, as `bazel run //bench:gemm -- --help` lists them.",
      join(kPrograms, ", "));
}

Request parse(int argc, char** argv) {
  Request request;
  if (argc > 1) request.command += " --";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    request.command += " " + harness::shell_quoted(word);
    if (word.rfind("--out=", 0) == 0)
      request.folder = word.substr(6);
    else if (word.rfind("--", 0) == 0)
      request.flags.push_back(word);
    else if (std::find(kPrograms.begin(), kPrograms.end(), word) != kPrograms.end())
      request.programs.push_back(word);
    else
      throw Error(ErrorCode::kArgument, "report",
                  "no benchmark is called " + word + "; there are " + join(kPrograms, ", "));
  }
  if (request.programs.empty()) request.programs = kPrograms;
  // `bazel run` starts in the runfiles and names the caller's folder.
  if (const char* caller = std::getenv("BUILD_WORKING_DIRECTORY")) request.folder = caller / request.folder;
  return request;
}

// Runs a program that lies beside this one; its text goes where ours goes. Returns what it measured.
Json measured(const std::string& program, const Request& request) {
  const fs::path file = fs::canonical("/proc/self/exe").parent_path() / program;
  const fs::path json = request.folder / (program + ".json");
  std::vector<std::string> words = {file.string(), "--json=" + json.string()};
  words.insert(words.end(), request.flags.begin(), request.flags.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  fs::remove(json);
  std::cout << std::endl;
  const pid_t child = fork();
  if (child == 0) {
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status == 0) return Json::parse(read_file(json.string()));
  return {{"program", program},
          {"meaning", "Not measured"},
          {"failure", fmt::format("{} ended with status {}; what it said is on the terminal", program,
                                  WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status))}};
}

int run(int argc, char** argv) {
  if (std::any_of(argv + 1, argv + argc, [](const char* word) { return std::string(word) == "--help"; })) {
    std::cout << help() << std::endl;
    return 0;
  }
  const Request request = parse(argc, argv);
  fs::create_directories(request.folder);
  Json results = Json::array();
  bool failed = false;
  for (const std::string& program : request.programs) {
    results.push_back(measured(program, request));
    failed = failed || results.back().contains("failure");
  }
  const fs::path page = request.folder / "bench.html";
  write_file((request.folder / "bench.json").string(), results.dump(2) + "\n");
  write_file(page.string(), bench_html(results, request.command));
  std::cout << "\n" << bench_answer(results) << "\n" << page.string() << std::endl;
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  try {
    return faultline::bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
    return 2;
  }
}
