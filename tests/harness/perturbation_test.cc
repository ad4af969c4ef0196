#include "harness/perturbation.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "engine/base/error.h"
#include "harness/recipes/recipes.h"
#include "harness/trainer.h"

namespace faultline::harness {
namespace {

Launch perturbed(const std::string& name, uint64_t seed, Recipe recipe = find_recipe("f32")) {
  Launch launch;
  launch.recipe = recipe;
  perturb(launch, name, seed);
  return launch;
}

std::set<std::string> changed_settings(const Launch& launch, const Recipe& before) {
  std::set<std::string> changed;
  for (const auto& [path, value] : launch.recipe.json().items()) {
    if (before.json().at(path) != value) changed.insert(path);
  }
  return changed;
}

// Recipes of the default sweep, each with the names of its runs under a perturbation.
std::vector<std::pair<std::string, std::string>> runs_of_all_recipes(const std::string& perturbation) {
  std::vector<std::pair<std::string, std::string>> runs;
  for (const std::string& recipe : recipe_names()) {
    for (const std::string& run : run_names(perturbation, find_recipe(recipe)))
      runs.emplace_back(recipe, run);
  }
  return runs;
}

Recipe on(const std::string& compute, const std::string& unit, const std::string& accumulate = "f32") {
  Recipe recipe;
  recipe.set("precision.compute", compute);
  recipe.set("precision.unit", unit);
  recipe.set("precision.accumulate", accumulate);
  return recipe;
}

using Names = std::vector<std::string>;

TEST_CASE("perturbation: each changes only what it says") {
  const std::map<std::string, std::set<std::string>> says = {
      {"accumulate", {"precision.accumulate"}},
      {"unit", {"precision.unit"}},
      {"repeat", {"runtime.heap_fill"}},
      {"threads", {"runtime.threads"}},
      {"shuffled", {"reduction.order", "reduction.seed"}},
      {"split_k", {"precision.split_k"}},
      {"eigen", {"precision.unit"}},
      {"ulp", {"plant.step", "plant.parameter", "plant.element"}},
  };
  for (const auto& [name, perturbation] : Registry<Perturbation>::instance().entries()) {
    REQUIRE(says.contains(name));
    for (const auto& [recipe, run] : runs_of_all_recipes(name)) {
      for (const uint64_t seed : {1, 2, 3, 1000}) {
        INFO(run << " on " << recipe << ", seed " << seed);
        const Launch launch = perturbed(run, seed, find_recipe(recipe));
        const std::set<std::string> changed = changed_settings(launch, find_recipe(recipe));
        CHECK_FALSE(changed.empty());
        CHECK(std::includes(says.at(name).begin(), says.at(name).end(), changed.begin(), changed.end()));
        const bool moves_world =
            !launch.environment.empty() || launch.clock_shift_s != 0 || !launch.working_folder.empty();
        CHECK(moves_world == (name == "repeat"));
      }
    }
  }
}

TEST_CASE("perturbation: columns that should be bitwise come first") {
  const std::vector<std::string> names = perturbation_names();
  CHECK(names == std::vector<std::string>{"repeat", "threads", "accumulate", "eigen", "shuffled", "split_k",
                                          "ulp", "unit"});
}

TEST_CASE("perturbation: each still changes something where the recipe has that setting already") {
  for (const std::string name : {"threads", "shuffled", "split_k", "eigen"}) {
    const Recipe once = perturbed(name, 1).recipe;
    INFO(name);
    CHECK_FALSE(changed_settings(perturbed(name, 1, once), once).empty());
  }
}

TEST_CASE("perturbation: unit is every other chip that has the recipe's formats") {
  CHECK(run_names("unit", on("f16", "h100")) == Names{"unit:v100", "unit:a100", "unit:b200"});
  CHECK(run_names("unit", on("f16", "h100", "f16")) == Names{"unit:v100", "unit:a100", "unit:b200"});
  const Names bf16 = run_names("unit", on("bf16", "a100"));
  CHECK(Names(bf16.begin(), bf16.begin() + 2) == Names{"unit:h100", "unit:b200"});
  CHECK(run_names("unit", on("tf32", "l40s")) == Names{"unit:a100", "unit:h100", "unit:b200"});
  CHECK(perturbed("unit:b200", 1, on("f16", "h100")).recipe.text("precision.unit") == "b200");
  CHECK(column_of("unit:b200") == "unit");
  CHECK(column_of("threads") == "threads");
}

TEST_CASE("perturbation: another name of the recipe's own chip is no other unit, another instruction is") {
  CHECK(run_names("unit", on("tf32", "h200")) == Names{"unit:a100", "unit:b200"});
  CHECK(run_names("unit", on("tf32", "h100:mma")) == Names{"unit:a100", "unit:h100", "unit:b200"});
}

TEST_CASE("perturbation: unit asks nothing of a recipe that is on no chip") {
  for (const std::string unit : {"fma", "eigen"}) CHECK(run_names("unit", on("f16", unit)).empty());
  CHECK(run_names("unit", on("f32", "fma")).empty());
}

TEST_CASE("perturbation: accumulate swaps the accumulators where the unit has both") {
  for (const std::string unit : {"v100", "h100"}) {
    CHECK(run_names("accumulate", on("f16", unit)) == Names{"accumulate"});
    CHECK(run_names("accumulate", on("bf16", unit)).empty());
  }
  for (const std::string unit : {"fma", "eigen"}) CHECK(run_names("accumulate", on("f16", unit)).empty());
  const auto accumulator = [](const std::string& before) {
    return perturbed("accumulate", 1, on("f16", "h100", before)).recipe.text("precision.accumulate");
  };
  CHECK(accumulator("f32") == "f16");
  CHECK(accumulator("f16") == "f32");
}

TEST_CASE("perturbation: eigen is not for a recipe that accumulates in f16") {
  CHECK(run_names("eigen", on("f16", "h100")) == Names{"eigen"});
  CHECK(run_names("eigen", on("f16", "fma", "f16")).empty());
}

TEST_CASE("perturbation: threads are one more for odd seeds and two more for even ones") {
  CHECK(perturbed("threads", 1).recipe.integer("runtime.threads") == 2);
  CHECK(perturbed("threads", 2).recipe.integer("runtime.threads") == 3);
}

TEST_CASE("perturbation: the planted ulp is a function of the seed, at a place that exists, and varies") {
  const Recipe recipe = find_recipe("f32");
  std::map<std::string, int64_t> sizes;
  for (const auto& [name, size] : parameter_sizes(recipe)) sizes[name] = size;
  std::set<std::string> parameters, places;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const Recipe planted = perturbed("ulp", seed).recipe;
    const std::string parameter = planted.text("plant.parameter");
    REQUIRE(sizes.contains(parameter));
    CHECK(planted.integer("plant.element") < sizes[parameter]);
    CHECK(planted.json() == perturbed("ulp", seed).recipe.json());
    parameters.insert(parameter);
    places.insert(parameter + std::to_string(planted.integer("plant.element")));
  }
  CHECK(parameters.size() > 3);
  CHECK(places.size() > 30);
}

TEST_CASE("recipes: the default ones are known by name, others by path") {
  CHECK(recipe_names() ==
        Names{"f32", "tf32", "bf16", "f16", "f16-static", "f16-dynamic", "bf16-h100", "f16-h100"});
  for (const std::string& name : recipe_names()) {
    CHECK(find_recipe(name).name() == name);
    CHECK(find_recipe(name).integer("train.steps") >= 200);
    CHECK(find_recipe(name).text("model.name") == "lenet");
    CHECK(find_recipe(name).text("data.name") == "fashion_mnist");
  }
  CHECK_THROWS_WITH(find_recipe("f16-dynamc"), Catch::Contains("did you mean 'f16-dynamic'?"));
  CHECK_THROWS_WITH(find_recipe("/no/such.yaml"), Catch::Contains("/no/such.yaml"));
}

}  // namespace
}  // namespace faultline::harness
