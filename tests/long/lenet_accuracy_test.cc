// One epoch of lenet on Fashion-MNIST: the smallest test accuracy over five named seeds, per precision.
#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "harness/trainer.h"

namespace faultline::harness {
namespace {

constexpr int64_t kSeeds[] = {1, 2, 3, 4, 5};

double smallest_accuracy(const std::string& compute, const std::string& scaler,
                         const std::string& unit = "fma") {
  double smallest = 1;
  for (int64_t seed : kSeeds) {
    Recipe recipe;
    recipe.set("train.epochs", "1", "test");
    recipe.set("train.seed", std::to_string(seed), "test");
    recipe.set("runtime.threads", "2", "test");
    recipe.set("ledger.detail", "off", "test");
    recipe.set("precision.compute", compute, "test");
    recipe.set("precision.unit", unit, "test");
    recipe.set("amp.scaler", scaler, "test");
    apply_runtime(recipe);
    Trainer trainer(recipe);
    while (trainer.next_step() < trainer.steps()) trainer.step();
    const double accuracy = trainer.evaluate().accuracy;
    fmt::print("lenet {} {} {} seed {}: test accuracy {:.4f}\n", compute, unit, scaler, seed, accuracy);
    smallest = std::min(smallest, accuracy);
  }
  return smallest;
}

TEST_CASE("lenet: one epoch in f32 reaches 0.83 on every seed") {
  CHECK(smallest_accuracy("f32", "none") >= 0.83);
}
TEST_CASE("lenet: one epoch in bf16 reaches 0.82 on every seed") {
  CHECK(smallest_accuracy("bf16", "none") >= 0.82);
}
TEST_CASE("lenet: one epoch in f16 with dynamic scaling reaches 0.82 on every seed") {
  CHECK(smallest_accuracy("f16", "dynamic") >= 0.82);
}

TEST_CASE("lenet: one epoch in f16 on h100 with dynamic scaling reaches 0.82 on every seed") {
  CHECK(smallest_accuracy("f16", "dynamic", "h100") >= 0.82);
}

}  // namespace
}  // namespace faultline::harness
