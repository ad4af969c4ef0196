// What a ledger costs: one training step of lenet at batch 64 with digests off, of the state, and of every
// op, each with the ledger's row written. Run: bazel run //bench:ledger
#include "harness/ledger.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "harness/manifest.h"

namespace faultline::harness {
namespace {

Recipe recipe_with(const std::string& detail) {
  Recipe recipe;
  recipe.set("data.name", "synthetic", "bench");
  recipe.set("data.train_examples", "4096", "bench");
  recipe.set("train.steps", "1000000", "bench");
  recipe.set("ledger.underflow_every", "0", "bench");
  recipe.set("ledger.detail", detail, "bench");
  return recipe;
}

void train_step(benchmark::State& state, const std::string& detail) {
  const Recipe recipe = recipe_with(detail);
  const std::string path = std::filesystem::temp_directory_path() / ("faultline-bench-" + detail + ".sqlite");
  std::filesystem::remove(path);
  Trainer trainer(recipe);
  LedgerWriter ledger(path, Json::object());
  for (int i = 0; i < 3; ++i) trainer.step();
  for (auto _ : state) {
    const StepRecord record = trainer.step();
    if (detail != "off") ledger.add(record);
  }
  state.counters["images_per_s"] =
      benchmark::Counter(static_cast<double>(64 * state.iterations()), benchmark::Counter::kIsRate);
  std::filesystem::remove(path);
}

// Prints as usual and keeps every repetition's time.
class Collector : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration)
        times[run.run_name.function_name].push_back(run.GetAdjustedRealTime());
    }
  }
  std::map<std::string, std::vector<double>> times;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace
}  // namespace faultline::harness

int main(int argc, char** argv) {
  using namespace faultline::harness;
  std::vector<char*> args(argv, argv + argc);
  std::string repetitions = "--benchmark_repetitions=11",
              interleaved = "--benchmark_enable_random_interleaving=true",
              aggregates = "--benchmark_min_time=0.3";
  args.insert(args.begin() + 1, {repetitions.data(), interleaved.data(), aggregates.data()});
  int count = static_cast<int>(args.size());
  for (const char* detail : {"off", "state", "ops"}) {
    benchmark::RegisterBenchmark(detail, [detail](benchmark::State& state) { train_step(state, detail); })
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
  benchmark::Initialize(&count, args.data());
  Collector collector;
  benchmark::RunSpecifiedBenchmarks(&collector);
  const double off = median(collector.times["off"]);
  for (const char* detail : {"state", "ops"}) {
    fmt::print("digests {}: {:+.1f} % of a step against off (medians of {} interleaved repetitions)\n",
               detail, 100 * (median(collector.times[detail]) / off - 1), collector.times["off"].size());
  }
}
