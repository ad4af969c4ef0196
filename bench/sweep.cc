// Runs a second of a small sweep, with one process at once and with two: what the harness adds to its runs.
// Run: bazel run //bench:sweep
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "bench/suite.h"
#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "harness/run.h"

namespace faultline::bench {
namespace {

namespace fs = std::filesystem;

const char* const kSweep[] = {"--fresh",
                              "--recipe",
                              "f32",
                              "--recipe",
                              "tf32",
                              "--recipe",
                              "bf16",
                              "--recipe",
                              "f16",
                              "--perturbation",
                              "repeat",
                              "--perturbation",
                              "ulp",
                              "--perturbation",
                              "shuffled",
                              "--perturbation",
                              "split_k",
                              "--set",
                              "train.steps=60",
                              "--set",
                              "data.test_examples=1000",
                              "--set",
                              "schedule.warmup_steps=5"};

// Sweeps into a folder, quietly; returns the seconds it took.
double sweep(const fs::path& folder, int jobs) {
  const fs::path program = fs::canonical("/proc/self/exe").parent_path().parent_path() / "harness/faultline";
  const std::string count = std::to_string(jobs), set = "runtime.instruction_set=" + instruction_set();
  std::vector<const char*> arguments = {program.c_str(), "sweep",       "--out", folder.c_str(),
                                        "--jobs",        count.c_str(), "--set", set.c_str()};
  arguments.insert(arguments.end(), std::begin(kSweep), std::end(kSweep));
  arguments.push_back(nullptr);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    execv(arguments[0], const_cast<char**>(arguments.data()));
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) throw Error(ErrorCode::kInternal, "sweep", "the sweep failed; run it alone to see why");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t runs_in(const fs::path& folder) {
  int64_t runs = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    runs += entry.path().filename() == harness::kLedgerFile;
  }
  return runs;
}

void measure(Suite& suite) {
  if (!suite.wants("small sweep", 1)) return;
  const fs::path folder = fs::temp_directory_path() / ("faultline-bench-sweep-" + std::to_string(getpid()));
  sweep(folder, 2);
  const double runs = static_cast<double>(runs_in(folder));
  suite.compare(
      {"small sweep",
       1,
       runs,
       {{"2 jobs", {}, [&] { return sweep(folder, 2); }}, {"1 job", {}, [&] { return sweep(folder, 1); }}},
       {}});
  fs::remove_all(folder);
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(argc, argv,
                     {"sweep", "runs of 60 steps in a sweep of 4 recipes and 4 perturbations", "runs/s", ""},
                     measure);
}
