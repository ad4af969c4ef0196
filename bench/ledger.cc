// What a ledger costs: a training step of lenet at batch 64 with digests of the state, and of every op, beside one
// without; each with the ledger's row written. Run: bazel run //bench:ledger
#include "harness/ledger.h"

#include <filesystem>

#include "bench/suite.h"

namespace faultline::bench {
namespace {

using harness::Json;

constexpr int kPairs = 1000;

// Steps of a recipe, written into a ledger where there is something to write.
class Run {
 public:
  Run(const std::string& detail, int threads)
      : path_(fresh_path(detail)),
        trainer_(recipe(detail, threads)),
        ledger_(path_, Json::object()),
        writes_(detail != "off") {}
  ~Run() { std::filesystem::remove(path_); }

  void step() {
    const harness::StepRecord record = trainer_.step();
    if (writes_) ledger_.add(record);
  }

  static harness::Recipe recipe(const std::string& detail, int threads) {
    harness::Recipe recipe;
    recipe.set("data.name", "synthetic", "bench");
    recipe.set("data.train_examples", "4096", "bench");
    recipe.set("train.steps", "1000000", "bench");
    recipe.set("ledger.underflow_every", "0", "bench");
    recipe.set("ledger.detail", detail, "bench");
    recipe.set("runtime.threads", std::to_string(threads), "bench");
    return recipe;
  }

 private:
  static std::string fresh_path(const std::string& detail) {
    const auto path = std::filesystem::temp_directory_path() / ("faultline-bench-" + detail + ".sqlite");
    std::filesystem::remove(path);
    return path.string();
  }

  std::string path_;
  harness::Trainer trainer_;
  harness::LedgerWriter ledger_;
  bool writes_;
};

void measure(Suite& suite) {
  for (const int threads : {1, 2}) {
    for (const std::string detail : {"state", "ops"}) {
      const std::string name = "digests " + detail;
      if (!suite.wants(name, threads)) continue;
      apply_runtime(Run::recipe("off", threads));
      Run off("off", threads), with(detail, threads);
      suite.compare_pairs(
          name, threads, [&] { off.step(); }, [&] { with.step(); }, kPairs);
    }
  }
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(
      argc, argv, {"ledger", "what digests and the ledger cost a training step of lenet", "", ""}, measure);
}
