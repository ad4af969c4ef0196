#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "harness/run.h"

namespace faultline::harness {

using SettingTexts = std::vector<std::pair<std::string, std::string>>;

// A recipe with settings changed.
inline Recipe with(Recipe recipe, const SettingTexts& changes) {
  for (const auto& [path, text] : changes) recipe.set(path, text, "test");
  return recipe;
}

// An mlp on made-up images, so small that a run takes milliseconds.
inline Recipe small(const SettingTexts& changes = {}) {
  const SettingTexts kSmall = {{"model.name", "mlp"},       {"model.hidden", "6"},
                               {"data.name", "synthetic"},  {"data.train_examples", "64"},
                               {"data.test_examples", "8"}, {"data.batch", "8"},
                               {"train.steps", "6"},        {"ledger.snapshots", "3"}};
  return with(with(Recipe(), kSmall), changes);
}

// Makes runs in a folder of its own, which goes when this does.
class Runs {
 public:
  Runs() {
    std::string pattern = (std::filesystem::temp_directory_path() / "faultline-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw Error(ErrorCode::kIo, pattern, "cannot be made");
    folder_ = pattern;
  }
  ~Runs() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Runs(const Runs&) = delete;

  // Runs the recipe and returns the path of its ledger.
  std::string path(const Recipe& recipe) {
    const std::string folder = next_folder();
    run(recipe, folder, Json::object());
    return folder + "/" + kLedgerFile;
  }
  Ledger ledger(const Recipe& recipe) { return Ledger::open(path(recipe)); }

  // Runs the recipe until `steps` steps are done and then fails, as an interrupted run does.
  Ledger interrupted(const Recipe& recipe, int64_t steps) {
    const std::string folder = next_folder();
    try {
      run(recipe, folder, Json::object(), [&](int64_t step, int64_t) {
        if (step == steps) throw Error(ErrorCode::kIo, "test", "interrupted");
      });
    } catch (const Error&) {
    }
    return Ledger::open(folder + "/" + kLedgerFile);
  }

  std::string next_folder() { return folder_ + "/" + std::to_string(count_++); }

 private:
  std::string folder_;
  int count_ = 0;
};

}  // namespace faultline::harness
