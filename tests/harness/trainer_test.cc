#include "harness/trainer.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <span>

#include "engine/base/cpu.h"
#include "engine/base/error.h"

namespace faultline::harness {
namespace {

// A model and a data set so small that a step takes well under a millisecond.
Recipe small(const std::string& compute, const std::string& scaler = "none") {
  Recipe recipe;
  for (const auto& [path, value] :
       std::vector<std::pair<std::string, std::string>>{{"model.name", "mlp"},
                                                        {"model.hidden", "16"},
                                                        {"data.name", "synthetic"},
                                                        {"data.image_size", "28"},
                                                        {"data.train_examples", "256"},
                                                        {"data.test_examples", "64"},
                                                        {"data.batch", "32"},
                                                        {"train.steps", "20"},
                                                        {"ledger.detail", "ops"},
                                                        {"precision.compute", compute},
                                                        {"amp.scaler", scaler}}) {
    recipe.set(path, value, "test");
  }
  return recipe;
}

Recipe with(Recipe recipe, const std::string& path, const std::string& value) {
  recipe.set(path, value, "test");
  return recipe;
}

std::vector<StepRecord> trained(const Recipe& recipe) {
  apply_runtime(recipe);
  Trainer trainer(recipe);
  std::vector<StepRecord> steps;
  while (trainer.next_step() < trainer.steps()) steps.push_back(trainer.step());
  return steps;
}

Digest root_of(std::span<const StepRecord> steps) {
  Digest root;
  for (const StepRecord& step : steps) root = chain_root(root, step_digest(step));
  return root;
}

TEST_CASE("trainer: threads, instruction set and heap fill change no digest") {
  for (const char* compute : {"f32", "tf32", "bf16", "f16"}) {
    const Recipe recipe = small(compute);
    const Digest root = root_of(trained(recipe));
    for (const char* threads : {"2", "3", "8"}) {
      CHECK(root_of(trained(with(recipe, "runtime.threads", threads))) == root);
    }
    for (const std::string& set : instruction_sets()) {
      CHECK(root_of(trained(with(recipe, "runtime.instruction_set", set))) == root);
    }
    CHECK(root_of(trained(with(recipe, "runtime.heap_fill", "255"))) == root);
  }
  apply_runtime(Recipe());
}

TEST_CASE("trainer: the loss falls in every format") {
  for (const char* compute : {"f32", "tf32", "bf16", "f16"}) {
    const std::vector<StepRecord> steps =
        trained(small(compute, compute == std::string("f16") ? "dynamic" : "none"));
    CHECK(steps.back().loss < 0.7 * steps.front().loss);
  }
}

TEST_CASE("trainer: an overflow names the gradient, skips the step and holds the schedule") {
  Recipe recipe = with(small("f16", "dynamic"), "amp.init_scale", "1e30");
  recipe.set("schedule.name", "exponential", "test");
  const std::vector<StepRecord> held = trained(recipe);
  REQUIRE(held[0].overflow);
  CHECK(held[0].skipped);
  CHECK(held[0].first_nonfinite != "");
  CHECK(held[0].nonfinite_element >= 0);
  CHECK(held[0].decision.find("holds") != std::string::npos);
  CHECK(held[1].scale == held[0].scale * 0.5);
  CHECK(held[1].advances == 0);
  CHECK(held[1].lr == held[0].lr);
  const std::vector<StepRecord> advanced = trained(with(recipe, "amp.on_skip", "advance"));
  CHECK(advanced[1].advances == 1);
  CHECK(advanced[1].lr < advanced[0].lr);
}

TEST_CASE("trainer: the static scaler skips too and keeps its scale") {
  const std::vector<StepRecord> steps = trained(with(small("f16", "static"), "amp.static_scale", "1e30"));
  for (const StepRecord& step : steps) {
    CHECK(step.skipped);
    CHECK(step.scale == static_cast<double>(1e30f));
  }
}

TEST_CASE("trainer: a planted ulp changes the step's leaf of that parameter and no leaf before") {
  const Recipe recipe = small("f32");
  Recipe planted = recipe;
  planted.set("plant.step", "5", "test");
  planted.set("plant.parameter", "fc1.weight", "test");
  planted.set("plant.element", "3", "test");
  const std::vector<StepRecord> a = trained(recipe), b = trained(planted);
  CHECK(root_of(std::span(a).first(5)) == root_of(std::span(b).first(5)));
  for (size_t i = 0; i < a[5].entries.size() && a[5].entries[i].name.text().rfind("leaf/", 0) == 0; ++i) {
    CHECK((a[5].entries[i].digest != b[5].entries[i].digest) == (a[5].entries[i].name == "leaf/fc1.weight"));
  }
}

TEST_CASE("trainer: a plant in a place that does not exist is refused at once") {
  Recipe recipe = small("f32");
  recipe.set("plant.step", "5", "test");
  recipe.set("plant.parameter", "fc9.weight", "test");
  CHECK_THROWS_AS(Trainer(recipe), Error);
  recipe.set("plant.parameter", "fc1.bias", "test");
  recipe.set("plant.element", "16", "test");
  CHECK_THROWS_AS(Trainer(recipe), Error);
}

}  // namespace
}  // namespace faultline::harness
