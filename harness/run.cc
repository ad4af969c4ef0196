#include "harness/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/tensor/digest.h"
#include "harness/expected_rate.h"
#include "harness/manifest.h"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(ErrorCode::kIo, folder, "cannot be made: " + error.message());
  for (const char* file : {kLedgerFile, kManifestFile, kScheduleFile})
    fs::remove(fs::path(folder) / file, error);
  fs::remove(fs::path(folder) / (std::string(kLedgerFile) + "-journal"), error);
}

// Steps at which parameters are kept: `count` of them, dense at the start, where differences grow fastest.
std::set<int64_t> snapshot_steps(int64_t steps, int64_t count) {
  std::set<int64_t> chosen;
  for (int64_t i = 1; i <= count; ++i) {
    chosen.insert(
        static_cast<int64_t>(std::llround(std::pow(static_cast<double>(steps), double(i) / double(count)))));
  }
  if (count > 0) chosen.insert(steps);
  return chosen;
}

// The parameters are the first leaves of the state; the rest belongs to the optimizer.
std::vector<std::pair<std::string, Tensor>> parameters_of(const Trainer& trainer) {
  auto state = trainer.state();
  state.resize(trainer.parameter_count());
  return state;
}

double median(std::vector<int64_t> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

std::string quoted(const std::string& text) {
  return text.find_first_of(",\"\n") == std::string::npos ? text : fmt::format("{:?}", text);
}

}  // namespace

RunResult run(const Recipe& recipe, const std::string& folder, const Json& labels,
              const std::function<void(int64_t, int64_t)>& progress) {
  make_folder(folder);
  apply_runtime(recipe);
  Trainer trainer(recipe);
  const Json manifest = make_manifest(recipe, trainer.resolved(), labels);
  write_file(folder + "/" + kManifestFile, manifest.dump(2) + "\n");

  const std::string ledger_path = folder + "/" + kLedgerFile;
  LedgerWriter ledger(ledger_path, manifest);
  const std::set<int64_t> snapshots = snapshot_steps(trainer.steps(), recipe.integer("ledger.snapshots"));
  std::vector<int64_t> times_us;
  RunResult result;
  for (int64_t step = 0; step < trainer.steps(); ++step) {
    StepRecord record = trainer.step();
    times_us.push_back(record.time_us);
    result.final_loss = record.loss;
    ledger.add(std::move(record));
    if (snapshots.count(step + 1)) ledger.add_snapshot(step + 1, parameters_of(trainer));
    if (progress) progress(step + 1, trainer.steps());
  }
  const Trainer::Evaluation evaluation = trainer.evaluate();
  result.test_loss = evaluation.loss;
  result.test_accuracy = evaluation.accuracy;
  result.steps = trainer.steps();
  result.step_time_us = median(times_us);
  std::vector<Entry> final_state;
  for (const auto& [name, value] : trainer.state()) final_state.push_back({"leaf/" + name, digest(value)});
  ledger.close(result, trainer.draws(), final_state);
  write_file(folder + "/" + kScheduleFile, schedule_csv(Ledger::open(ledger_path)));
  return result;
}

std::string schedule_csv(const Ledger& ledger) {
  const std::vector<double> expected = expected_rates(ledger);
  std::string csv = "step,lr,lr_expected,scale,overflow,skipped,first_nonfinite,loss\n";
  for (const StepRecord& s : ledger.steps()) {
    const std::string element = s.nonfinite_element < 0 ? "" : fmt::format("[{}]", s.nonfinite_element);
    csv += fmt::format("{},{},{},{},{},{},{},{}\n", s.step, s.lr, expected[static_cast<size_t>(s.step)],
                       s.scale, int{s.overflow}, int{s.skipped}, quoted(s.first_nonfinite + element), s.loss);
  }
  return csv;
}

}  // namespace faultline::harness
