#include "harness/recipe.h"

#include <catch2/catch.hpp>

#include "engine/base/error.h"

namespace faultline::harness {
namespace {

using Catch::Matchers::Contains;

std::string refusal(const std::string& yaml) {
  try {
    Recipe::from_yaml(yaml, "my.yaml");
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST_CASE("recipe: settings not given keep their defaults") {
  const Recipe recipe =
      Recipe::from_yaml("name: mine\namp:\n  scaler: dynamic\n  growth_interval: 50\n", "my.yaml");
  CHECK(recipe.name() == "mine");
  CHECK(recipe.text("amp.scaler") == "dynamic");
  CHECK(recipe.integer("amp.growth_interval") == 50);
  CHECK(recipe.integer("data.batch") == 64);
  CHECK(recipe.json().size() == settings().size());
}

TEST_CASE("recipe: what yaml() writes reads back as the same recipe") {
  Recipe recipe;
  recipe.set("schedule.milestones", "5,7");
  recipe.set("optimizer.nesterov", "true");
  recipe.set("name", "a: b # c", "test");
  CHECK(Recipe::from_yaml(recipe.yaml(), "my.yaml").json() == recipe.json());
  CHECK(Recipe::from_json(recipe.json(), "manifest").json() == recipe.json());
}

TEST_CASE("recipe: an unknown setting is refused with the line and the nearest known one") {
  CHECK_THAT(refusal("name: x\namp:\n  scalar: none\n"), Contains("my.yaml:3") && Contains("amp.scaler"));
  CHECK_THAT(refusal("learning_rate: 3\n"), Contains("unknown setting 'learning_rate'"));
}

TEST_CASE("recipe: a wrong type, range or name is refused with what is expected") {
  CHECK_THAT(refusal("data:\n  batch: many\n"), Contains("data.batch") && Contains("a whole number"));
  CHECK_THAT(refusal("data:\n  batch: 1.5\n"), Contains("a whole number"));
  CHECK_THAT(refusal("data:\n  batch: 0\n"), Contains("from 1 to 65536"));
  CHECK_THAT(refusal("schedule:\n  lr: .nan\n"), Contains("schedule.lr"));
  CHECK_THAT(refusal("schedule:\n  milestones: [1, two]\n"), Contains("a list of whole numbers"));
  CHECK_THAT(refusal("optimizer:\n  nesterov: maybe\n"), Contains("true or false"));
  CHECK_THAT(refusal("model:\n  name: lenett\n"), Contains("did you mean 'lenet'"));
  CHECK_THAT(refusal("- a\n- b\n"), Contains("a map of settings"));
  CHECK_THAT(refusal("a: [\n"), Contains("my.yaml") && Contains("not YAML"));
}

}  // namespace
}  // namespace faultline::harness
