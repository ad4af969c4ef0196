// Training steps beside PyTorch's, in deterministic mode, from the same initial weights on the same batches: lenet
// on Fashion-MNIST, and forward and backward of a basic block of a ResNet. Then what each guarantee costs a step
// of lenet. Run: bazel run //bench:train
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <optional>

#include "amp/policy.h"
#include "bench/basic_block.h"
#include "bench/peers/torch.h"
#include "bench/suite.h"
#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "harness/trainer.h"

namespace faultline::bench {
namespace {

using harness::Recipe;
using harness::Trainer;

constexpr int64_t kBatch = 64;
constexpr int kComparedSteps = 20;
constexpr int kPairs = 200;

Recipe lenet(int threads, const std::vector<std::pair<std::string, std::string>>& settings = {}) {
  Recipe recipe;
  recipe.set("data.batch", std::to_string(kBatch), "bench");
  recipe.set("train.steps", "1000000", "bench");
  recipe.set("ledger.detail", "off", "bench");
  recipe.set("ledger.underflow_every", "0", "bench");
  recipe.set("runtime.instruction_set", instruction_set(), "bench");
  recipe.set("runtime.threads", std::to_string(threads), "bench");
  for (const auto& [path, value] : settings) recipe.set(path, value, "bench");
  return recipe;
}

// Torch in both layouts that its users choose between.
class TorchPair {
 public:
  TorchPair(Suite& suite, const std::string& task, const std::string& format, const std::string& folder)
      : workers_{{task, format, "contiguous", folder}, {task, format, "channels_last", folder}} {
    suite.library("torch", workers_[0].version());
  }

  TorchWorker (&workers())[2] { return workers_; }

  std::vector<Contender> with(int threads, std::function<void()> ours) {
    return {{"ours", ours},
            {"torch", {}, [=, this] { return workers_[0].run(threads, 1); }},
            {"torch channels_last", {}, [=, this] { return workers_[1].run(threads, 1); }}};
  }

 private:
  TorchWorker workers_[2];
};

// Keeps the batches of some steps.
class Batches : public Trainer::Witness {
 public:
  void on_op(const OpEvent&) override {}
  void on_leaf(const std::string& name, const Tensor& value) override {
    if (name == "batch/x") x.push_back(value.clone());
    if (name == "batch/labels") labels.push_back(value.clone());
  }
  std::vector<Tensor> x, labels;
};

// Initial weights and first batches of lenet, for torch.
void write_lenet(TorchInputs& inputs) {
  const Recipe recipe = lenet(1);
  Trainer trainer(recipe);
  const auto state = trainer.state();
  for (size_t i = 0; i < trainer.parameter_count(); ++i) inputs.add(state[i].first, state[i].second);
  Batches batches;
  trainer.set_witness(&batches);
  for (int i = 0; i < kComparedSteps; ++i) trainer.step();
  inputs.add("x", batches.x);
  inputs.add("labels", batches.labels);
  inputs.set("lr", recipe.real("schedule.lr"));
  inputs.set("momentum", recipe.real("optimizer.momentum"));
}

// That both train the same: losses of the first steps. The first differs by roundings alone: of f32, as many as
// the sums of five layers have terms (400 at most); of bf16, those of each layer's operands and result. Each
// update carries that along and adds as much again.
void check_losses(TorchWorker& torch, const Recipe& recipe, int threads, const std::string& name) {
  const bool bf16 = recipe.text("precision.compute") == "bf16";
  const double one_step = bf16 ? 5 * 3 * unit_roundoff(Dtype::kBf16) : 5 * 400 * unit_roundoff(Dtype::kF32);
  std::vector<double> theirs;
  torch.run(threads, kComparedSteps, &theirs);
  Trainer trainer(recipe);
  double worst = 0;
  for (int i = 0; i < kComparedSteps; ++i) {
    const double ours = trainer.step().loss, distance = std::fabs(ours - theirs[i]) / ours;
    worst = std::max(worst, distance);
    if (distance <= one_step * (i + 1)) continue;
    throw Error(
        ErrorCode::kMismatch, name,
        fmt::format("loss of step {} is {}, torch's is {}: not the same training", i, ours, theirs[i]));
  }
  fmt::print("{}: losses of {} steps within {:.2g} of torch's\n", name, kComparedSteps, worst);
}

struct LenetRow {
  std::string name;
  std::vector<std::pair<std::string, std::string>> settings;  // of our recipe
};

// Rows beside torch's training in one format.
void compare_lenets(Suite& suite, const std::string& folder, const std::string& format,
                    const std::vector<LenetRow>& rows) {
  std::optional<TorchPair> torch;
  for (const int threads : {1, 2}) {
    for (const LenetRow& row : rows) {
      if (!suite.wants(row.name, threads)) continue;
      if (!torch) torch.emplace(suite, "lenet", format, folder);
      const Recipe recipe = lenet(threads, row.settings);
      apply_runtime(recipe);
      if (recipe.text("precision.compute") == format) {
        for (TorchWorker& worker : torch->workers()) check_losses(worker, recipe, threads, row.name);
      }
      Trainer trainer(recipe);
      suite.compare({row.name, threads, kBatch, torch->with(threads, [&] { trainer.step(); }), {}});
    }
  }
}

void write_block(const BasicBlock& block, TorchInputs& inputs) {
  for (const auto& [name, value] : block.inputs()) inputs.add(name, value);
  inputs.set("channels", BasicBlock::kChannels);
}

double norm(const Tensor& tensor) {
  double sum = 0;
  for (const double value : tensor.to_vector()) sum += value * value;
  return std::sqrt(sum);
}

// That torch computes the same: norms of output and gradients, which roundings move by gamma of the longest sum
// at most, the weight gradient's over samples and positions.
void check_block(TorchWorker& torch, BasicBlock& block, int threads, Dtype format) {
  const double k = BasicBlock::kSamples * BasicBlock::kSize * BasicBlock::kSize;
  const double bound =
      k * unit_roundoff(Dtype::kF32) + (format == Dtype::kF32 ? 0 : 6 * unit_roundoff(format));
  const std::vector<Tensor> ours = block.step();
  std::vector<double> theirs;
  torch.run(threads, 1, &theirs);
  for (size_t i = 0; i < ours.size(); ++i) {
    const double expected = norm(ours[i]);
    if (std::fabs(theirs[i] - expected) <= bound * expected) continue;
    throw Error(ErrorCode::kMismatch, "basic block",
                fmt::format("the norm of result {} is {}, torch's is {}", i, expected, theirs[i]));
  }
}

void compare_blocks(Suite& suite, Dtype format, const std::string& unit) {
  const std::string type = faultline::name(format), name = "basic block " + type;
  amp::Policy policy;
  policy.compute = format;
  policy.unit = unit;
  BasicBlock block(policy);
  TorchInputs inputs;
  write_block(block, inputs);
  std::optional<TorchPair> torch;
  for (const int threads : {1, 2}) {
    if (!suite.wants(name, threads)) continue;
    if (!torch) torch.emplace(suite, "basic_block", type, inputs.write());
    set_threads(threads);
    for (TorchWorker& worker : torch->workers()) check_block(worker, block, threads, format);
    suite.compare({name, threads, BasicBlock::kSamples, torch->with(threads, [&] { block.step(); }), {}});
  }
}

// What one setting costs a step of lenet over another that gives up a guarantee.
void cost(Suite& suite, const std::string& name, int threads, const std::string& path,
          const std::string& with, const std::string& without) {
  if (!suite.wants(name, threads)) return;
  apply_runtime(lenet(threads));
  const auto make = [&](const std::string& value) -> Suite::Work {
    return [trainer = std::make_shared<Trainer>(lenet(threads, {{path, value}}))] { trainer->step(); };
  };
  suite.compare_pairs(
      name, threads, [&] { return make(without); }, [&] { return make(with); }, kPairs);
}

void costs(Suite& suite, int threads) {
  cost(suite, "sums over samples in leaves, not one chain", threads, "precision.k_plan", "leaf", "chain");
  cost(suite, "our ordered products, not Eigen's", threads, "precision.unit", "fma", "eigen");
  cost(suite, "gradients in order, not shuffled", threads, "reduction.order", "ordered", "shuffled");
  const std::string here = instruction_set();
  for (const std::string& slower : instruction_sets()) {
    if (slower == here) break;
    const std::string name = slower + ", not " + here;
    if (!suite.wants(name, threads)) continue;
    Trainer trainer(lenet(threads));
    const auto step_on = [&](const std::string& set) -> Suite::Work {
      return [&, set] {
        set_instruction_set(set);
        trainer.step();
      };
    };
    suite.compare_pairs(
        name, threads, [&] { return step_on(here); }, [&] { return step_on(slower); }, kPairs);
    set_instruction_set(here);
  }
}

void measure(Suite& suite) {
  TorchInputs inputs;
  write_lenet(inputs);
  const std::string folder = inputs.write();
  const LenetRow h100 = {
      "lenet f16 on h100, torch in f32",
      {{"precision.compute", "f16"}, {"precision.unit", "h100"}, {"amp.scaler", "dynamic"}}};
  compare_lenets(suite, folder, "f32", {{"lenet f32", {}}, h100});
  std::vector<LenetRow> bf16 = {{"lenet bf16", {{"precision.compute", "bf16"}}}};
  if (has_amx_bf16())
    bf16.push_back(
        {"lenet bf16 on amx_bf16", {{"precision.compute", "bf16"}, {"precision.unit", "amx_bf16"}}});
  else
    suite.note("lenet in bf16 on amx_bf16: skipped, this processor lacks it");
  compare_lenets(suite, folder, "bf16", bf16);
  compare_blocks(suite, Dtype::kF32, kFmaUnit);
  if (has_amx_bf16())
    compare_blocks(suite, Dtype::kBf16, "amx_bf16");
  else
    suite.note("basic block in bf16: skipped, this processor lacks amx_bf16");
  for (const int threads : {1, 2}) costs(suite, threads);
  if (instruction_set() == instruction_sets().front()) {
    suite.note("instruction sets: none here is slower than " + instruction_set());
  }
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(argc, argv,
                     {"train",
                      "training steps of lenet at batch 64 and of a ResNet's basic block at batch 32",
                      "images/s",
                      "",
                      {"--benchmark_min_time=0.15"}},
                     measure);
}
