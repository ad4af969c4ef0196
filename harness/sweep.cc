#include "harness/sweep.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <iostream>
#include <set>
#include <thread>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/parallel.h"
#include "harness/ledger.h"
#include "harness/machine.h"
#include "harness/perturbation.h"
#include "harness/perturbations/product_unit.h"
#include "harness/processes.h"
#include "harness/progress.h"
#include "harness/report/report.h"
#include "harness/run.h"
#include "harness/sweep_calls.h"
#include "harness/sweep_folder.h"
#include "models/data/inflated.h"

namespace faultline::harness {
namespace {

// Carries out a plan: a run starts when as many places are free as it has threads (or all of them), so that runs do not
// take cores from each other; a comparison as soon as its two runs are there and a place is free.
class Conduct {
 public:
  Conduct(const Plan& plan, const SweepFolder& folder, int jobs)
      : plan_(plan),
        folder_(folder),
        jobs_(static_cast<size_t>(jobs)),
        progress_(std::cerr, isatty(STDERR_FILENO) != 0, jobs),
        states_(plan.runs.size()),
        cells_(plan.cells.size()) {}

  // Returns false if a signal ended it early.
  bool complete() {
    take_over();
    fill_places();
    while (processes_.running() > 0 && !processes_.interrupted()) {
      const std::vector<ProcessEnd> ends = processes_.wait(250);
      for (const ProcessEnd& end : ends) {
        const size_t id = static_cast<size_t>(end.id);
        places_taken_ -= places_of(id);
        if (is_run(id)) finish_run(id, end);
      }
      fill_places();
      // These read ledgers, while the next processes run.
      for (const ProcessEnd& end : ends) {
        const size_t id = static_cast<size_t>(end.id);
        if (!is_run(id)) finish_comparison(id - plan_.runs.size(), end);
      }
      progress_.show();
    }
    processes_.stop();
    return !processes_.interrupted();
  }

  // Those that have a verdict or a failure, in the plan's order.
  std::vector<Cell> cells() const {
    std::vector<Cell> done;
    for (const std::optional<Cell>& cell : cells_) {
      if (cell) done.push_back(*cell);
    }
    return done;
  }

 private:
  enum class State : uint8_t { kPending, kDone, kFailed };
  struct RunState {
    State state = State::kPending;
    std::string failure;
  };

  // Takes what an earlier sweep finished, and queues the rest.
  void take_over() {
    size_t kept = 0;
    for (size_t i = 0; i < plan_.runs.size(); ++i) {
      if (folder_.has(plan_.runs[i])) {
        states_[i].state = State::kDone;
        ++kept;
      } else {
        runs_.push_back(i);
      }
    }
    // Models of chips are several times slower than the processor: first, so that the end keeps every place busy. Before
    // them what takes several places, since all places are free at the beginning.
    std::stable_partition(runs_.begin(), runs_.end(),
                          [&](size_t i) { return names_chip(plan_.runs[i].launch.recipe); });
    std::stable_partition(runs_.begin(), runs_.end(), [&](size_t i) { return places_of(i) > 1; });
    if (kept > 0) std::cerr << fmt::format("kept {} of {} runs from before\n", kept, plan_.runs.size());
    progress_.expect(Progress::kRun, static_cast<int>(runs_.size()));
    progress_.expect(Progress::kComparison, static_cast<int>(plan_.cells.size()));
    judge_ready_cells();
  }

  // Queues the comparisons whose runs are both there; settles the cells that will never have one.
  void judge_ready_cells() {
    for (size_t i = 0; i < plan_.cells.size(); ++i) {
      if (cells_[i] || queued_.contains(i)) continue;
      const RunState &a = states_[plan_.cells[i].baseline], &b = states_[plan_.cells[i].run];
      if (a.state == State::kFailed || b.state == State::kFailed) {
        settle(i, a.state == State::kFailed ? "its baseline failed: " + a.failure : b.failure, {}, 0);
      } else if (a.state == State::kDone && b.state == State::kDone) {
        if (const auto verdict = kept_verdict(folder_, plan_, plan_.cells[i])) {
          settle(i, "", *verdict, 0);
        } else {
          comparisons_.push_back(i);
          queued_.insert(i);
        }
      }
    }
  }

  // Comparisons are numbered after the runs.
  bool is_run(size_t id) const { return id < plan_.runs.size(); }

  size_t places_of(size_t id) const {
    if (!is_run(id)) return 1;
    return std::min(static_cast<size_t>(plan_.runs[id].launch.recipe.integer("runtime.threads")), jobs_);
  }

  void fill_places() {
    while (!processes_.interrupted() && start_next()) continue;
  }

  bool start_next() {
    const auto start = [&](size_t id, const ProcessCall& call) {
      processes_.start(static_cast<int>(id), call);
      places_taken_ += places_of(id);
      return true;
    };
    if (!comparisons_.empty() && places_taken_ < jobs_) {
      const size_t cell = comparisons_.front();
      comparisons_.pop_front();
      return start(plan_.runs.size() + cell, comparison_call(folder_, plan_, plan_.cells[cell]));
    }
    if (runs_.empty() || places_taken_ + places_of(runs_.front()) > jobs_) return false;
    const size_t run = runs_.front();
    runs_.pop_front();
    return start(run, run_call(folder_, plan_.runs[run]));
  }

  void finish_run(size_t id, const ProcessEnd& end) {
    const PlannedRun& run = plan_.runs[id];
    if (end.status == 0) {
      states_[id].state = State::kDone;
    } else {
      if (!processes_.interrupted()) folder_.remove_run(run.folder);
      states_[id] = {State::kFailed, reason(end)};
    }
    progress_.ended(Progress::kRun,
                    end.status == 0 ? fmt::format("{} trained in {:.1f} s", run.folder, end.seconds)
                                    : fmt::format("{} failed: {}", run.folder, reason(end)),
                    end.seconds);
    judge_ready_cells();
  }

  void finish_comparison(size_t i, const ProcessEnd& end) {
    if (end.status == kEqualStatus || end.status == kDifferentStatus) {
      const Json json = Json::parse(end.output, nullptr, false);
      if (!json.is_discarded()) {
        keep_verdict(folder_, plan_, plan_.cells[i], json);
        return settle(i, "", verdict_from_json(json), end.seconds);
      }
    }
    settle(i, "its comparison failed: " + reason(end), {}, end.seconds);
  }

  static std::string reason(const ProcessEnd& end) {
    const std::string text = end.reason(), prefix = "faultline: ";
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
  }

  void settle(size_t i, const std::string& failure, const Verdict& verdict, double seconds) {
    const PlannedRun &a = plan_.runs[plan_.cells[i].baseline], &b = plan_.runs[plan_.cells[i].run];
    Cell& cell = cells_[i].emplace();
    cell = {b.recipe, b.perturbation, b.seed, a.folder, b.folder, failure, verdict, 0};
    if (failure.empty()) cell.step_time_us = recorded_step_time_us(folder_, b);
    progress_.ended(Progress::kComparison,
                    fmt::format("{} {}", b.folder, failure.empty() ? cell_text(cell) : "has no verdict"),
                    seconds);
  }

  const Plan& plan_;
  const SweepFolder& folder_;
  size_t jobs_;
  size_t places_taken_ = 0;  // of jobs_
  Processes processes_;
  Progress progress_;
  std::vector<RunState> states_;
  std::vector<std::optional<Cell>> cells_;
  std::deque<size_t> runs_, comparisons_;
  std::set<size_t> queued_;
};

// Median over the seeds' baselines.
std::map<std::string, double> baseline_step_times(const Plan& plan, const SweepFolder& folder) {
  std::map<std::string, std::vector<double>> times;
  for (const PlannedRun& run : plan.runs) {
    if (run.perturbation == kBaseline && folder.has(run)) {
      times[run.recipe].push_back(recorded_step_time_us(folder, run));
    }
  }
  std::map<std::string, double> medians;
  for (auto& [recipe, values] : times) {
    std::sort(values.begin(), values.end());
    medians[recipe] = values[values.size() / 2];
  }
  return medians;
}

}  // namespace

int jobs_of(const SweepOptions& options) {
  return options.jobs > 0 ? options.jobs
                          : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::optional<SweepResult> sweep(const SweepOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  models::hand_down_inflated(true);
  const Plan plan = make_plan(options);
  const SweepFolder folder(options.folder, plan.identity, options.fresh);
  SweepResult result;
  result.recipes = plan.recipes;
  result.perturbations = plan.perturbations;
  result.seeds = plan.seeds;
  result.command = options.command;
  result.build = build_id();
  result.folder = folder.path();
  bool complete;
  {
    Conduct conduct(plan, folder, jobs_of(options));
    complete = conduct.complete();
    result.cells = conduct.cells();
  }
  result.step_time_us = baseline_step_times(plan, folder);
  result.seconds = folder.earlier_seconds() +
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  folder.write(result);
  write_file(folder.path() + "/" + kMatrixFile, matrix_csv(result));
  if (!complete) return std::nullopt;
  set_threads(std::min(jobs_of(options), jobs_of({})));  // more than processors would only slow it down
  write_file(folder.path() + "/" + kReportFile, report_html(result));
  return result;
}

std::vector<std::string> unmet_expectations(const SweepResult& result,
                                            const std::map<std::string, std::string>& expect) {
  std::vector<std::string> unmet;
  for (const Cell& cell : result.cells) {
    if (!cell.failure.empty()) continue;
    const std::string column = column_of(cell.perturbation);
    const auto wish = expect.find(column);
    const bool silent = wish == expect.end();
    if (silent && !Registry<Perturbation>::instance().find(column).expect_bitwise) continue;
    const std::string wanted = silent ? "bitwise" : wish->second;
    if ((wanted == "bitwise") == cell.verdict.bitwise) continue;
    unmet.push_back(fmt::format("{} under {}, seed {}: {}, expected {}", cell.recipe, cell.perturbation,
                                cell.seed, cell_text(cell), wanted));
  }
  return unmet;
}

}  // namespace faultline::harness
