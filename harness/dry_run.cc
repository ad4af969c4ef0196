#include "harness/dry_run.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "harness/ledger.h"
#include "harness/processes.h"
#include "harness/run.h"
#include "harness/sweep_plan.h"
#include "harness/trainer.h"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMeasuredSteps = 20;

// What a short run of a recipe tells of a whole one.
struct Cost {
  double start_s = 0;  // everything but the steps
  double step_s = 0;
  double step_bytes = 0, snapshot_bytes = 0;
  double steps = 0, snapshots = 0;

  double seconds() const { return start_s + steps * step_s; }
  double bytes() const { return steps * step_bytes + snapshots * snapshot_bytes; }
};

// A folder that goes with all it holds.
struct TemporaryFolder {
  TemporaryFolder() : path((fs::temp_directory_path() / "faultline-dry-run-XXXXXX").string()) {
    if (mkdtemp(path.data()) == nullptr) throw Error(ErrorCode::kIo, path, "cannot be made");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  std::string path;
};

ProcessCall short_run(const Recipe& recipe, const std::string& folder) {
  Recipe shortened = recipe;
  shortened.set_value("train.epochs", 0.0, "--dry-run");
  shortened.set_value("train.steps", kMeasuredSteps, "--dry-run");
  shortened.set_value("schedule.name", "constant", "--dry-run");
  shortened.set_value("schedule.warmup_steps", 0, "--dry-run");
  shortened.set_value("ledger.snapshots", 0, "--dry-run");
  fs::create_directories(folder);
  const std::string file = folder + "/recipe.json";
  write_file(file, shortened.json().dump());
  return {{"/proc/self/exe", "run", "--recipe", file, "--folder", folder},
          {{"FAULTLINE_PARENT", std::to_string(getpid())}},
          folder};
}

Cost cost_of(const Recipe& recipe, const std::string& folder, double seconds) {
  const std::string path = folder + "/" + kLedgerFile;
  Cost cost;
  cost.steps = static_cast<double>(Trainer(recipe).steps());
  cost.snapshots = static_cast<double>(recipe.integer("ledger.snapshots"));
  cost.step_s = Ledger::open(path).result()->step_time_us * 1e-6;
  cost.start_s = std::max(0.0, seconds - kMeasuredSteps * cost.step_s);
  cost.step_bytes = static_cast<double>(fs::file_size(path)) / kMeasuredSteps;
  for (const auto& [name, size] : parameter_sizes(recipe)) {
    cost.snapshot_bytes += sizeof(float) * static_cast<double>(size);
  }
  return cost;
}

std::map<std::string, Cost> measure(const std::vector<Recipe>& recipes, size_t jobs) {
  const TemporaryFolder folder;
  const auto own = [&](size_t i) { return folder.path + "/" + std::to_string(i); };
  std::map<std::string, Cost> costs;
  Processes processes;
  size_t next = 0;
  while (costs.size() < recipes.size() && !processes.interrupted()) {
    for (; next < recipes.size() && processes.running() < jobs; ++next) {
      processes.start(static_cast<int>(next), short_run(recipes[next], own(next)));
    }
    for (const ProcessEnd& end : processes.wait(1000)) {
      const Recipe& recipe = recipes[static_cast<size_t>(end.id)];
      if (end.status != 0) throw Error(ErrorCode::kData, recipe.name(), end.reason());
      costs[recipe.name()] = cost_of(recipe, own(static_cast<size_t>(end.id)), end.seconds);
    }
  }
  if (processes.interrupted()) throw Error(ErrorCode::kIo, "--dry-run", "interrupted");
  return costs;
}

std::string time_text(double seconds) {
  return seconds < 60 ? fmt::format("{:.0f} seconds", std::ceil(seconds))
                      : fmt::format("{:.1f} minutes", seconds / 60);
}

std::string size_text(double bytes) {
  return bytes < 1e9 ? fmt::format("{:.0f} MB", bytes / 1e6) : fmt::format("{:.1f} GB", bytes / 1e9);
}

}  // namespace

std::string dry_run(const SweepOptions& options) {
  const Plan plan = make_plan(options);
  const int jobs = jobs_of(options);
  const auto costs = measure(plan.recipes, static_cast<size_t>(jobs));
  double seconds = 0, bytes = 0;
  for (const PlannedRun& run : plan.runs) {
    seconds += costs.at(run.recipe).seconds();
    bytes += costs.at(run.recipe).bytes();
  }
  // A comparison loads the data once, and replays a few steps where the runs part.
  for (const PlannedCell& cell : plan.cells) seconds += costs.at(plan.runs[cell.run].recipe).start_s;
  return fmt::format(
      "{} runs ({} of them baselines), {} comparisons\n"
      "about {} with {} jobs, about {} in {}\n"
      "measured now: {} steps of each recipe, the rest in proportion; a comparison counts as a run's start\n",
      plan.runs.size(), plan.runs.size() - plan.cells.size(), plan.cells.size(), time_text(seconds / jobs),
      jobs, size_text(bytes), options.folder, kMeasuredSteps);
}

}  // namespace faultline::harness
