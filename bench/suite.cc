#include "bench/suite.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iostream>
#include <map>
#include <optional>
#include <regex>
#include <thread>

#include "bench/statistics.h"
#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "harness/machine.h"

namespace faultline::bench {
namespace {

using Json = nlohmann::json;

// Threads of one library look for work a while after its last call (OpenBLAS 0.3.21 for 2^26 ticks) and would
// take the core from the next contender. A processor that has rested is slow at first, so that the contender runs a
// while before it is timed.
constexpr std::chrono::milliseconds kSettle{40}, kWarmUp{30};
// How long a program waits for quiet cores in all, and how often it looks between pairs.
constexpr double kPatienceSeconds = 60, kLookEverySeconds = 0.1;
constexpr int kMakings = 6;  // of what is compared in pairs

void rest_and_warm_up(const Contender& contender) {
  std::this_thread::sleep_for(kSettle);
  const auto end = std::chrono::steady_clock::now() + kWarmUp;
  do {
    if (contender.seconds)
      contender.seconds();
    else
      contender.body();
  } while (std::chrono::steady_clock::now() < end);
}

void run(benchmark::State& state, const Contender& contender, int threads, Quiet& quiet) {
  quiet.wait(threads);
  if (threads > 1) rest_and_warm_up(contender);
  for (auto _ : state) {
    if (contender.seconds)
      state.SetIterationTime(contender.seconds());
    else
      contender.body();
  }
}

// Keeps every repetition's seconds by contender, prints nothing.
class Collector : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      seconds[run.run_name.function_name].push_back(run.real_accumulated_time /
                                                    static_cast<double>(run.iterations));
    }
  }
  std::map<std::string, std::vector<double>> seconds;
};

Json to_json(const Figure& figure) {
  return {{"name", figure.name}, {"rate", figure.rate}, {"spread", figure.spread}};
}

Json to_json(const Row& row) {
  Json json = {{"name", row.name}, {"threads", row.threads}, {"figures", Json::array()}};
  for (const Figure& figure : row.figures) json["figures"].push_back(to_json(figure));
  if (row.limit) json["limit"] = to_json(*row.limit);
  if (row.ratio() > 0) json["ratio"] = row.ratio();
  if (!row.remark.empty()) json["remark"] = row.remark;
  return json;
}

std::string with_threads(const std::string& name, int threads) {
  return fmt::format("{}/threads:{}", name, threads);
}

double seconds(const std::string& program, const std::string& text) {
  const std::optional<double> value = parse_number<double>(text);
  if (value && *value >= 0) return *value;
  throw Error(ErrorCode::kArgument, program,
              fmt::format("--patience={}: that is no number of seconds; 0 waits for nothing", text));
}

// Processor seconds of this process, or seconds of the clock.
double now(bool of_processor) {
  timespec time{};
  clock_gettime(of_processor ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

double Row::ratio() const {
  double fastest = 0;
  for (size_t i = 1; i < figures.size(); ++i) fastest = std::max(fastest, figures[i].rate);
  return fastest > 0 ? figures[0].rate / fastest : 0;
}

Suite::Suite(int argc, char** argv, const Title& title) : title_(title), quiet_(kPatienceSeconds) {
  set_float_environment();
  std::vector<std::string> flags = {argv[0], "--benchmark_repetitions=11", "--benchmark_min_time=0.02",
                                    "--benchmark_enable_random_interleaving=true"};
  flags.insert(flags.end(), title.flags.begin(), title.flags.end());
  const std::string json = "--json=", patience = "--patience=", set = "--instruction_set=";
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag.starts_with(json))
      json_path_ = flag.substr(json.size());
    else if (flag.starts_with(patience))
      quiet_ = Quiet(seconds(title.program, flag.substr(patience.size())));
    else if (flag.starts_with(set))
      set_instruction_set(flag.substr(set.size()));
    else
      flags.push_back(flag);
  }
  std::vector<char*> arguments;
  for (std::string& flag : flags) arguments.push_back(flag.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (count > 1) {
    throw Error(
        ErrorCode::kArgument, title.program,
        fmt::format("unknown option {}; it takes --json=FILE, --patience=SECONDS, --instruction_set=NAME and "
                    "Google Benchmark's",
                    arguments[1]));
  }
  result_ = {{"program", title.program},   {"meaning", title.meaning}, {"unit", title.unit},
             {"limit", title.limit},       {"pairs", Json::array()},   {"notes", Json::array()},
             {"libraries", Json::object()}};
  fmt::print("{}: {}\n", title.program, title.meaning);
}

bool Suite::wants(const std::string& name, int threads) const {
  std::string filter = benchmark::GetBenchmarkFilter();
  const bool negative = !filter.empty() && filter[0] == '-';
  if (negative) filter.erase(0, 1);
  if (filter.empty() || filter == "all") return true;
  return std::regex_search(with_threads(name, threads), std::regex(filter)) != negative;
}

void Suite::compare(const Comparison& comparison) {
  if (!wants(comparison.name, comparison.threads)) return;
  std::vector<Contender> all = comparison.contenders;
  if (comparison.limit) all.push_back(*comparison.limit);
  benchmark::ClearRegisteredBenchmarks();
  for (const Contender& contender : all) {
    auto* registered = benchmark::RegisterBenchmark(contender.name.c_str(), [&](benchmark::State& state) {
      run(state, contender, comparison.threads, quiet_);
    });
    contender.seconds ? registered->UseManualTime() : registered->UseRealTime();
  }
  Collector collector;
  benchmark::RunSpecifiedBenchmarks(&collector, ".");
  if (collector.seconds.empty()) return;  // only listed

  Row row{comparison.name, comparison.threads, {}, {}, ""};
  for (const Contender& contender : all) {
    const std::vector<double>& seconds = collector.seconds.at(contender.name);
    const double work = contender.work > 0 ? contender.work : comparison.work;
    row.figures.push_back({contender.name, work / median(seconds), spread(seconds)});
    result_["repetitions"] = seconds.size();
  }
  if (comparison.limit) {
    row.limit = row.figures.back();
    row.figures.pop_back();
  }
  if (comparison.remark) row.remark = comparison.remark();
  print(row);
  rows_.push_back(row);
}

void Suite::print(const Row& row) {
  std::string header = fmt::format("\n{:36} threads", title_.unit);
  std::string line = fmt::format("{:36} {:>7}", row.name, row.threads);
  for (const Figure& figure : row.figures) {
    const size_t width = std::max<size_t>(16, figure.name.size());
    header += fmt::format(" {:>{}}", figure.name, width);
    line += fmt::format(" {:>{}} ±{:4.1f} %", rounded(figure.rate, 4), width - 8, 100 * figure.spread);
  }
  if (row.ratio() > 0) {
    header += fmt::format(" {:>14}", row.figures.size() > 2 ? "ours / fastest" : "ours / other");
    line += fmt::format(" {:>12.3f} x", row.ratio());
  }
  if (row.limit) {
    header += fmt::format(" {:>16}", "of " + title_.limit);
    line += fmt::format(" {:6.1f} % of {:>5}", 100 * row.figures[0].rate / row.limit->rate,
                        rounded(row.limit->rate, 4));
  }
  if (header != header_) fmt::print("{}\n", header);
  header_ = header;
  fmt::print("{}{}{}\n", line, row.remark.empty() ? "" : "  ", row.remark);
  std::fflush(stdout);
}

void Suite::compare_pairs(const std::string& name, int threads, const MakeWork& make_a,
                          const MakeWork& make_b, int pairs) {
  if (!wants(name, threads)) return;
  const bool of_processor = threads == 1;
  const auto timed = [&](const Work& work) {
    const double start = now(of_processor);
    work();
    return now(of_processor) - start;
  };
  std::vector<double> costs;
  double a_sum = 0, b_sum = 0, looked = 0;
  for (int making = 0; making < kMakings; ++making) {
    Work a, b;
    if (making % 2 == 0) a = make_a();
    b = make_b();
    if (!a) a = make_a();
    a();
    b();
    const int last = pairs * (making + 1) / kMakings;
    for (int i = pairs * making / kMakings; i < last; ++i) {
      if (now(false) - looked > kLookEverySeconds) {
        quiet_.wait(threads);
        looked = now(false);
      }
      const bool a_first = i % 2 == 0;  // neither always finds the other's leavings in the cache
      const double first = timed(a_first ? a : b), second = timed(a_first ? b : a);
      const double a_time = a_first ? first : second, b_time = a_first ? second : first;
      costs.push_back(b_time / a_time - 1);
      a_sum += a_time;
      b_sum += b_time;
    }
  }
  const Interval interval = median_interval(costs);
  fmt::print(
      "{:44} threads {}: {:+.2f} % [{:+.2f}, {:+.2f}], mean {:+.2f} %  (median of {} pairs, 95 % interval)\n",
      name, threads, 100 * median(costs), 100 * interval.low, 100 * interval.high, 100 * (b_sum / a_sum - 1),
      pairs);
  std::fflush(stdout);
  result_["pairs"].push_back({{"name", name},
                              {"threads", threads},
                              {"cost", median(costs)},
                              {"low", interval.low},
                              {"high", interval.high},
                              {"mean", b_sum / a_sum - 1},
                              {"pairs", pairs}});
}

void Suite::library(const std::string& name, const std::string& version) {
  result_["libraries"][name] = version;
}

void Suite::note(const std::string& sentence) {
  fmt::print("{}\n", sentence);
  result_["notes"].push_back(sentence);
}

// Ours over each other, and over the fastest of each row: geometric means, by number of threads.
void Suite::print_means() {
  std::map<int, std::map<std::string, std::vector<double>>> ratios;
  for (const Row& row : rows_) {
    for (size_t i = 1; i < row.figures.size(); ++i) {
      ratios[row.threads][row.figures[i].name].push_back(row.figures[0].rate / row.figures[i].rate);
    }
    if (row.ratio() > 0) ratios[row.threads]["the fastest"].push_back(row.ratio());
  }
  result_["means"] = Json::array();
  for (const auto& [threads, by_name] : ratios) {
    for (const auto& [name, values] : by_name) {
      const double mean = geometric_mean(values), worst = *std::min_element(values.begin(), values.end());
      fmt::print("threads {}: {:.3f} x {}, geometric mean of {}; worst {:.3f}\n", threads, mean, name,
                 values.size(), worst);
      result_["means"].push_back({{"threads", threads},
                                  {"against", name},
                                  {"mean", mean},
                                  {"worst", worst},
                                  {"rows", values.size()}});
    }
  }
}

void Suite::print_manifest(const Json& manifest) {
  const Json& cpu = manifest.at("cpu");
  const Json& git = manifest.at("git");
  std::string commit = "unknown", libraries;
  if (git.is_object()) {
    commit = git.at("commit").get<std::string>().substr(0, 12);
    if (!git.at("diff").get<std::string>().empty()) commit += " with local changes";
  }
  for (const auto& [name, version] : result_["libraries"].items()) {
    libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, version.get<std::string>());
  }
  fmt::print("{}, {} ({} processors); gcc {}, {}\n", cpu.at("model").get<std::string>(),
             cpu.at("instruction_set").get<std::string>(), std::thread::hardware_concurrency(),
             manifest.at("build").at("compiler").get<std::string>(),
             manifest.at("build").at("flags").get<std::string>());
  fmt::print("commit {}{}{}{}\n", commit, libraries.empty() ? "" : "; ", libraries,
             rows_.empty()
                 ? ""
                 : fmt::format("; medians of {} repetitions in turns, ± half the distance of the quartiles",
                               result_.value("repetitions", 0)));
}

void Suite::finish() {
  fmt::print("\n");
  note(fmt::format("waited {:.0f} s for cores that no neighbour uses; {} turns began without",
                   quiet_.waited_s(), quiet_.in_vain()));
  print_means();
  const Json manifest = harness::machine_manifest();
  print_manifest(manifest);
  result_["manifest"] = manifest;
  result_["rows"] = Json::array();
  for (const Row& row : rows_) result_["rows"].push_back(to_json(row));
  if (!json_path_.empty()) write_file(json_path_, result_.dump(2) + "\n");
}

int run_program(int argc, char** argv, const Title& title, void (*measure)(Suite&)) {
  try {
    Suite suite(argc, argv, title);
    measure(suite);
    suite.finish();
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
    return 2;
  }
}

}  // namespace faultline::bench
