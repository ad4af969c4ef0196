// What a ledger costs: a training step of lenet at batch 64 with digests of the state, and of every op, beside one
// without; and forward and backward of a basic block with digests of every op; each with the ledger's row written.
// Run: bazel run //bench:ledger
#include "harness/ledger.h"

#include <filesystem>
#include <memory>
#include <utility>

#include "bench/basic_block.h"
#include "bench/suite.h"
#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "harness/digest_observer.h"

namespace faultline::bench {
namespace {

using harness::Json;

constexpr int kStatePairs = 10000, kOpsPairs = 3000, kBlockPairs = 150;

// A ledger that goes when it is done with.
struct FreshLedger {
  explicit FreshLedger(const std::string& name) : path(fresh_path(name)), writer(path, Json::object()) {}
  ~FreshLedger() { std::filesystem::remove(path); }

  static std::string fresh_path(const std::string& name) {
    const auto path = std::filesystem::temp_directory_path() / ("faultline-bench-" + name + ".sqlite");
    std::filesystem::remove(path);
    return path.string();
  }

  std::string path;
  harness::LedgerWriter writer;
};

// Steps of a recipe, written into a ledger where there is something to write.
class Run {
 public:
  Run(const std::string& detail, int threads)
      : trainer_(recipe(detail, threads)), ledger_(detail), writes_(detail != "off") {}

  void step() {
    harness::StepRecord record = trainer_.step();
    if (writes_) ledger_.writer.add(std::move(record));
  }

  static harness::Recipe recipe(const std::string& detail, int threads) {
    harness::Recipe recipe;
    recipe.set("data.name", "synthetic", "bench");
    recipe.set("data.train_examples", "4096", "bench");
    recipe.set("train.steps", "1000000", "bench");
    recipe.set("ledger.underflow_every", "0", "bench");
    recipe.set("ledger.detail", detail, "bench");
    recipe.set("runtime.instruction_set", instruction_set(), "bench");
    recipe.set("runtime.threads", std::to_string(threads), "bench");
    return recipe;
  }

 private:
  harness::Trainer trainer_;
  FreshLedger ledger_;
  bool writes_;
};

// The block's step with every op in the ledger.
class BlockRun {
 public:
  explicit BlockRun(BasicBlock& block) : block_(block), ledger_("block") {}

  void step() {
    harness::StepRecord record;
    block_.step(&observer_);
    record.entries = observer_.take_entries();
    record.step = next_++;
    ledger_.writer.add(std::move(record));
  }

 private:
  BasicBlock& block_;
  harness::DigestObserver observer_;
  FreshLedger ledger_;
  int64_t next_ = 0;
};

void measure_blocks(Suite& suite, int threads) {
  const std::string name = "digests ops of a basic block";
  if (!suite.wants(name, threads)) return;
  set_threads(threads);
  BasicBlock block{amp::Policy()};
  suite.compare_pairs(
      name, threads, [&] { return [&] { block.step(); }; },
      [&] { return [run = std::make_shared<BlockRun>(block)] { run->step(); }; }, kBlockPairs);
}

void measure(Suite& suite) {
  for (const int threads : {1, 2}) {
    for (const std::string detail : {"state", "ops"}) {
      const std::string name = "digests " + detail;
      if (!suite.wants(name, threads)) continue;
      apply_runtime(Run::recipe("off", threads));
      const auto make = [&](const std::string& of) -> Suite::Work {
        return [run = std::make_shared<Run>(of, threads)] { run->step(); };
      };
      suite.compare_pairs(
          name, threads, [&] { return make("off"); }, [&] { return make(detail); },
          detail == "state" ? kStatePairs : kOpsPairs);
    }
    measure_blocks(suite, threads);
  }
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(
      argc, argv,
      {"ledger", "what digests and the ledger cost a training step of lenet and a basic block", "", ""},
      measure);
}
