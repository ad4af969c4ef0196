#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/base/file.h"
#include "tests/support/process.h"

namespace faultline {

// The built program with a folder of its own that holds small recipes, which train in a fraction of a second.
class SweepProgram {
 public:
  // `program`: path inside the workspace of the test's data.
  explicit SweepProgram(const std::string& program = "harness/faultline")
      : program_(std::filesystem::absolute(program).string()) {
    const char* base = std::getenv("TEST_TMPDIR");
    folder_ = std::filesystem::path(base ? base : "/tmp") / "sweep-XXXXXX";
    std::string name = folder_.string();
    folder_ = mkdtemp(name.data());
    write("tiny.yaml", recipe("tiny", "f32", "none"));
    write("half.yaml", recipe("half", "f16", "dynamic"));
  }
  ~SweepProgram() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  static std::string recipe(const std::string& name, const std::string& compute, const std::string& scaler) {
    return "name: " + name +
           "\n"
           "model: {name: mlp, hidden: 8}\n"
           "data: {name: synthetic, train_examples: 64, test_examples: 32, batch: 16}\n"
           "train: {steps: 6}\n"
           "ledger: {snapshots: 2, underflow_every: 3}\n"
           "precision: {compute: " +
           compute + "}\namp: {scaler: " + scaler + ", init_scale: 256, growth_interval: 2}\n";
  }

  std::filesystem::path folder() const { return folder_; }
  const std::string& path() const { return program_; }
  void write(const std::string& name, const std::string& text) const {
    write_file((folder_ / name).string(), text);
  }
  std::string read(const std::string& name) const { return read_file((folder_ / name).string()); }

  // Runs the program in the folder.
  harness::ProcessEnd run(std::vector<std::string> arguments,
                          const std::map<std::string, std::string>& environment = {}) const {
    arguments.insert(arguments.begin(), program_);
    return run_process(arguments, environment, folder_.string());
  }

  // The same through a shell, as in `ulimit -f 1; "$@"`.
  harness::ProcessEnd run_by_shell(const std::string& script, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"sh", "-c", script, "sh", program_});
    return run_process(arguments, {}, folder_.string());
  }

 private:
  std::string program_;
  std::filesystem::path folder_;
};

}  // namespace faultline
