#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/quiet.h"

namespace faultline::bench {

// One side of a comparison.
struct Contender {
  std::string name;
  std::function<void()> body;  // the work, once
  // Does the work once and returns how long it took, where that is not the time of the call.
  std::function<double()> seconds = {};
  double work = 0;  // of one call, in the suite's unit times one second; 0: the comparison's
};

// The same work done by us and by others.
struct Comparison {
  std::string name;  // "256x256x256 nn"
  int threads;
  double work;                               // of one call, in the suite's unit times one second
  std::vector<Contender> contenders;         // the first is ours
  std::optional<Contender> limit;            // what the machine can do at most: the fma peak, a copy
  std::function<std::string()> remark = {};  // asked for when all have run; one more column
};

struct Figure {
  std::string name;
  double rate, spread;  // median in the suite's unit, and half the distance of the quartiles over it
};

// What came of a comparison.
struct Row {
  std::string name;
  int threads;
  std::vector<Figure> figures;  // the first is ours
  std::optional<Figure> limit;
  std::string remark;

  double ratio() const;  // ours over the fastest other's; 0 if there is no other
};

// What a benchmark program is: the sentence under its name, the unit of its rates, what the limit is called.
struct Title {
  std::string program, meaning, unit;
  std::string limit = "fma peak";
  std::vector<std::string> flags = {};  // of Google Benchmark, before the user's
};

// One benchmark program. Figures of one row come from one run, in turns: Google Benchmark runs the repetitions
// of a row's contenders in random order, each when the cores are quiet. Prints each row when it is measured. Takes
// Google Benchmark's options, --benchmark_filter over "name/threads:n", --json=FILE, and --patience=SECONDS: how long
// the program may wait for quiet cores in all, --instruction_set=NAME: which one we and the others are held to.
// Throws: kArgument for an option that is unknown.
class Suite {
 public:
  Suite(int argc, char** argv, const Title& title);

  // Whether the filter lets "name/threads:n" through: preparing what is not run takes time.
  bool wants(const std::string& name, int threads) const;

  void compare(const Comparison& comparison);

  // Does a piece of work once.
  using Work = std::function<void()>;
  // Makes it ready. Where its memory lies moves its time by some tenths of a percent.
  using MakeWork = std::function<Work()>;

  // A and B in turns, `pairs` times: what B costs over A, by the processor's time of this process (one thread)
  // or by the clock. Both are made anew several times, either one first, so that their memory lies elsewhere. Prints
  // the median of the pairs' ratios with its 95 % interval.
  void compare_pairs(const std::string& name, int threads, const MakeWork& make_a, const MakeWork& make_b,
                     int pairs);

  void library(const std::string& name, const std::string& version);  // into the manifest
  void note(const std::string& sentence);                             // printed, and kept beside the rows

  // Prints means over the rows and the manifest, writes the JSON file.
  void finish();

 private:
  void print(const Row& row);
  void print_means();
  void print_manifest(const nlohmann::json& manifest);

  Title title_;
  std::string json_path_;
  Quiet quiet_;
  std::string header_;  // the last one printed
  std::vector<Row> rows_;
  nlohmann::json result_;
};

// The whole of a benchmark program: measures, finishes; an error is one line and exit code 2.
int run_program(int argc, char** argv, const Title& title, void (*measure)(Suite&));

}  // namespace faultline::bench
