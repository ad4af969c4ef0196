#include <catch2/catch.hpp>
#include <filesystem>

#include "engine/tensor/digest.h"
#include "harness/compare.h"
#include "harness/parting.h"
#include "harness/perturbation.h"
#include "harness/recipes/recipes.h"
#include "tests/harness/small_runs.h"
#include "tests/support/skip.h"

namespace faultline::harness {
namespace {

Recipe perturbed(const Recipe& recipe, const std::string& run) {
  Launch launch{recipe, {}, ""};
  perturb(launch, run, 1);
  return launch.recipe;
}

// The recipe's runs that part elsewhere than in a planted leaf. b200 multiplies f16 and bf16 as h100 does.
std::vector<std::string> parting_runs(const Recipe& recipe) {
  std::vector<std::string> runs;
  for (const char* perturbation : {"accumulate", "eigen", "shuffled", "split_k", "unit"}) {
    for (const std::string& run : run_names(perturbation, recipe)) {
      if (run != "unit:b200") runs.push_back(run);
    }
  }
  return runs;
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.defined() == b.defined() && (!a.defined() || digest(a) == digest(b));
}

// The recorded inputs evaluated by plain scalar code, under the arithmetic of either side.
Tensor by_reference(Recorded recorded, const Arithmetic& arithmetic, size_t output) {
  recorded.call.arithmetic = arithmetic;
  for (size_t i = 0; i < recorded.wanted.size(); ++i) recorded.wanted[i] = i == output;
  return recorded.evaluate_reference()[output];
}

void check_earlier_are_equal(const std::vector<Recorded>& a, const std::vector<Recorded>& b,
                             const Parting& parting) {
  const auto before = static_cast<size_t>(parting.a - a.data());
  for (size_t i = 0; i < before; ++i) {
    CAPTURE(i, a[i].name);
    REQUIRE(a[i].name == b[i].name);
    REQUIRE(a[i].outputs.size() == b[i].outputs.size());
    for (size_t j = 0; j < a[i].outputs.size(); ++j) CHECK(equal(a[i].outputs[j], b[i].outputs[j]));
  }
  for (size_t j = 0; j < parting.output; ++j) CHECK(equal(parting.a->outputs[j], parting.b->outputs[j]));
}

// The first step whose digest, of every op's outputs, is not the same on both sides. A 16-bit result hides
// most changes of its sum, so that it may take some steps until one shows.
int64_t first_step_apart(const Recipe& a, const Recipe& b) {
  Trainer trainer_a(with(a, {{"ledger.detail", "ops"}})), trainer_b(with(b, {{"ledger.detail", "ops"}}));
  while (trainer_a.next_step() < trainer_a.steps()) {
    const StepRecord record = trainer_a.step();
    if (step_digest(record) != step_digest(trainer_b.step())) return record.step;
  }
  return -1;
}

void check_parted_cell(const Recipe& recipe, const Recipe& other) {
  const int64_t step = first_step_apart(recipe, other);
  REQUIRE(step >= 0);
  const std::vector<Recorded> a = replay(recipe, step, step), b = replay(other, step, step);
  const std::optional<Parting> parting = first_parting(a, b);
  REQUIRE(parting);
  REQUIRE(parting->same_place);
  REQUIRE_FALSE(parting->a->is_leaf);
  CAPTURE(step, parting->a->output_name(parting->output));
  CHECK(parting->inputs_equal);
  check_earlier_are_equal(a, b, *parting);
  for (const Recorded* side : {parting->a, parting->b}) {
    CHECK(equal(by_reference(*parting->a, side->call.arithmetic, parting->output),
                side->outputs[parting->output]));
  }
}

TEST_CASE("parting: the named op's inputs give both runs' bits by the scalar reference") {
  for (const std::string& name : recipe_names()) {
    const Recipe recipe = with(find_recipe(name), {{"data.name", "synthetic"},
                                                   {"data.train_examples", "640"},
                                                   {"data.test_examples", "8"},
                                                   {"train.steps", "50"},
                                                   {"schedule.warmup_steps", "0"}});
    for (const std::string& run : parting_runs(recipe)) {
      CAPTURE(name, run);
      check_parted_cell(recipe, perturbed(recipe, run));
    }
  }
}

// One cell of the default sweep, whose comparison names an op: by the plain scalar code its recorded inputs
// give the bits of both runs, and everything before it in that step is equal.
void check_named_op(const Recipe& recipe, const Recipe& other, const Verdict& verdict) {
  REQUIRE(verdict.unreplayed == "");
  REQUIRE(verdict.first);
  REQUIRE_FALSE(verdict.first->is_leaf);
  CHECK(verdict.first->inputs_equal);
  const int64_t step = verdict.first->step;
  const std::vector<Recorded> a = replay(recipe, step, step), b = replay(other, step, step);
  const std::optional<Parting> parting = first_parting(a, b);
  REQUIRE(parting);
  CAPTURE(step, verdict.first->place);
  CHECK(parting->a->output_name(parting->output) == verdict.first->place);
  check_earlier_are_equal(a, b, *parting);
  for (const Recorded* side : {parting->a, parting->b}) {
    CHECK(equal(by_reference(*parting->a, side->call.arithmetic, parting->output),
                side->outputs[parting->output]));
  }
}

constexpr int64_t kSteps = 8;  // Every cell of the default sweep that parts does so earlier.

TEST_CASE(
    "parting: in the default sweep the named op's inputs give both runs' bits by the scalar reference") {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    skip("no Fashion-MNIST: install dataset-fashion-mnist");
  }
  for (const std::string& name : recipe_names()) {
    const Recipe recipe = find_recipe(name);
    Runs runs;
    const Ledger baseline = runs.interrupted(recipe, kSteps);
    for (const std::string& run : parting_runs(recipe)) {
      CAPTURE(name, run);
      const Recipe other = perturbed(recipe, run);
      check_named_op(recipe, other, compare(baseline, runs.interrupted(other, kSteps)));
    }
  }
}

TEST_CASE("parting: under ulp the planted parameter is the first that differs, by one ulp in one element") {
  for (const std::string& name : recipe_names()) {
    const Recipe recipe =
        with(find_recipe(name), {{"data.name", "synthetic"}, {"data.train_examples", "64"}});
    const Recipe other = perturbed(recipe, "ulp");
    const std::vector<Recorded> a = replay(recipe, 0, 0), b = replay(other, 0, 0);
    const std::optional<Parting> parting = first_parting(a, b);
    CAPTURE(name);
    REQUIRE(parting);
    CHECK(parting->a->is_leaf);
    CHECK(parting->a->name == other.text("plant.parameter"));
    check_earlier_are_equal(a, b, *parting);
  }
}

}  // namespace
}  // namespace faultline::harness
