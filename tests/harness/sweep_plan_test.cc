#include "harness/sweep_plan.h"

#include <catch2/catch.hpp>
#include <set>

#include "engine/base/error.h"

namespace faultline::harness {
namespace {

Recipe small(const std::string& name) {
  Recipe recipe;
  recipe.set_value("name", name, "test");
  recipe.set_value("model.name", "mlp", "test");
  recipe.set_value("model.hidden", 4, "test");
  recipe.set_value("data.name", "synthetic", "test");
  recipe.set_value("data.train_examples", 16, "test");
  recipe.set_value("data.test_examples", 8, "test");
  recipe.set_value("data.batch", 8, "test");
  return recipe;
}

SweepOptions options(std::vector<Recipe> recipes, std::vector<std::string> perturbations,
                     std::vector<std::string> only = {}) {
  SweepOptions result;
  result.recipes = std::move(recipes);
  result.perturbations = std::move(perturbations);
  result.only = std::move(only);
  return result;
}

std::vector<std::string> names(const std::vector<Recipe>& recipes) {
  std::vector<std::string> names;
  for (const Recipe& recipe : recipes) names.push_back(recipe.name());
  return names;
}

std::vector<std::string> folders(const Plan& plan) {
  std::vector<std::string> folders;
  for (const PlannedRun& run : plan.runs) folders.push_back(run.folder);
  return folders;
}

TEST_CASE("plan: one value for a setting changes every recipe and no name") {
  const auto recipes = multiply({small("a"), small("b")}, "train.steps=7");
  CHECK(names(recipes) == std::vector<std::string>{"a", "b"});
  for (const Recipe& recipe : recipes) CHECK(recipe.integer("train.steps") == 7);
}

TEST_CASE("plan: comma lists multiply the recipes, and names say the values") {
  auto recipes = multiply({small("a"), small("b")}, "amp.scaler=static,dynamic");
  CHECK(names(recipes) == std::vector<std::string>{"a+amp.scaler=static", "a+amp.scaler=dynamic",
                                                   "b+amp.scaler=static", "b+amp.scaler=dynamic"});
  CHECK(recipes[2].text("amp.scaler") == "static");
  recipes = multiply(recipes, "precision.split_k=1,2,3");
  CHECK(recipes.size() == 12);
  CHECK(recipes[4].name() == "a+amp.scaler=dynamic+precision.split_k=2");
}

TEST_CASE("plan: commas inside brackets belong to the value") {
  const auto one = multiply({small("a")}, "schedule.milestones=[10,20]");
  REQUIRE(one.size() == 1);
  CHECK(one[0].integers("schedule.milestones") == std::vector<int64_t>{10, 20});
  const auto two = multiply({small("a")}, "schedule.milestones=[10,20],[30]");
  REQUIRE(two.size() == 2);
  CHECK(two[1].integers("schedule.milestones") == std::vector<int64_t>{30});
}

TEST_CASE("plan: a wrong assignment says what is wrong") {
  CHECK_THROWS_WITH(multiply({small("a")}, "amp.scaler"), Catch::Contains("has no '='"));
  CHECK_THROWS_WITH(multiply({small("a")}, "amp.scalar=none"), Catch::Contains("did you mean 'amp.scaler'?"));
  CHECK_THROWS_WITH(multiply({small("a")}, "amp.scaler=none,dynamc"),
                    Catch::Contains("did you mean 'dynamic'?"));
  CHECK_THROWS_AS(multiply({small("a")}, "train.steps=many"), Error);
}

TEST_CASE("plan: cells of one recipe and seed share their baseline") {
  SweepOptions o = options({small("a"), small("b")}, {"repeat", "threads", "ulp"});
  o.seeds = {1, 5};
  const Plan plan = make_plan(o);
  CHECK(plan.runs.size() == 2 * 2 * 4);
  REQUIRE(plan.cells.size() == 2 * 2 * 3);
  std::set<std::string> all;
  for (const PlannedCell& cell : plan.cells) {
    const PlannedRun &a = plan.runs[cell.baseline], &b = plan.runs[cell.run];
    CHECK(a.perturbation == kBaseline);
    CHECK(a.recipe == b.recipe);
    CHECK(a.seed == b.seed);
    CHECK(b.launch.recipe.integer("train.seed") == b.seed);
    all.insert(b.folder);
  }
  CHECK(all.size() == plan.cells.size());
  CHECK(all.contains("b/ulp/seed-5"));
}

TEST_CASE("plan: only takes cells by globs, and only the baselines that these need") {
  const Plan plan = make_plan(options({small("f32"), small("f16"), small("f16-static")},
                                      {"repeat", "threads", "ulp"}, {"f16*/threads", "f32/u?p"}));
  CHECK(folders(plan) == std::vector<std::string>{"f32/baseline/seed-1", "f32/ulp/seed-1",
                                                  "f16/baseline/seed-1", "f16/threads/seed-1",
                                                  "f16-static/baseline/seed-1", "f16-static/threads/seed-1"});
  CHECK(plan.perturbations == std::vector<std::string>{"threads", "ulp"});
  const auto refuse = [](const std::string& pattern) {
    return make_plan(options({small("f32")}, {"threads"}, {pattern}));
  };
  CHECK_THROWS_WITH(refuse("f32"), Catch::Contains("'f32' is not recipe/perturbation"));
  CHECK_THROWS_WITH(refuse("f32/thread"), Catch::Contains("did you mean 'f32/threads'?"));
}

Recipe on_h100(const std::string& name) {
  Recipe recipe = small(name);
  recipe.set("precision.compute", "f16");
  recipe.set("precision.unit", "h100");
  return recipe;
}

TEST_CASE("plan: a perturbation has a run for each of its variants, with the baseline shared") {
  const Plan plan = make_plan(options({on_h100("f16")}, {"unit"}));
  CHECK(folders(plan) == std::vector<std::string>{"f16/baseline/seed-1", "f16/unit_v100/seed-1",
                                                  "f16/unit_a100/seed-1", "f16/unit_b200/seed-1"});
  CHECK(plan.cells.size() == 3);
  CHECK(plan.perturbations == std::vector<std::string>{"unit"});
  CHECK(plan.runs[2].perturbation == "unit:a100");
  CHECK(plan.runs[2].launch.recipe.text("precision.unit") == "a100");
}

TEST_CASE("plan: a perturbation has no run of a recipe to which it does not apply") {
  const Plan plan = make_plan(options({small("f32"), on_h100("f16")}, {"threads", "unit"}));
  CHECK(plan.cells.size() == 1 + 4);
  CHECK(names(plan.recipes) == std::vector<std::string>{"f32", "f16"});
  const Plan without = make_plan(options({small("f32")}, {"threads", "unit"}));
  CHECK(without.perturbations == std::vector<std::string>{"threads"});
  CHECK_THROWS_WITH(make_plan(options({small("f32")}, {"unit"})),
                    Catch::Contains("no cell: unit applies to none of these recipes"));
}

TEST_CASE("plan: only takes all variants by the column's name, and one by its own") {
  const auto taken = [](const std::string& pattern) {
    std::vector<std::string> taken;
    const Plan plan = make_plan(options({small("f32"), on_h100("f16")}, {"threads", "unit"}, {pattern}));
    for (const PlannedCell& cell : plan.cells) taken.push_back(plan.runs[cell.run].perturbation);
    return taken;
  };
  CHECK(taken("*/unit") == std::vector<std::string>{"unit:v100", "unit:a100", "unit:b200"});
  CHECK(taken("*/unit:?100") == std::vector<std::string>{"unit:v100", "unit:a100"});
  CHECK(taken("f16/unit:a100") == std::vector<std::string>{"unit:a100"});
  CHECK_THROWS_WITH(taken("f16/unit:a10"), Catch::Contains("did you mean 'f16/unit:a100'?"));
  CHECK_THROWS_WITH(taken("f32/unit"), Catch::Contains("matches no cell"));
}

TEST_CASE("plan: a key changes with settings, launch, seed and nothing else") {
  const auto key = [](const Recipe& recipe, const std::string& perturbation, size_t run) {
    return make_plan(options({recipe}, {perturbation})).runs[run].key;
  };
  Recipe longer = small("a");
  longer.set_value("train.steps", 201, "test");
  CHECK(key(small("a"), "ulp", 0) == key(small("a"), "threads", 0));
  CHECK(key(small("a"), "ulp", 1) != key(small("a"), "threads", 1));
  CHECK(key(small("a"), "repeat", 1) != key(small("a"), "repeat", 0));
  CHECK(key(small("a"), "ulp", 0) != key(longer, "ulp", 0));
}

TEST_CASE("plan: names become folders that stay inside, and clashes are refused") {
  CHECK(make_plan(options({small("../a b/ü")}, {"ulp"})).runs[0].folder == "_.._a_b___/baseline/seed-1");
  CHECK_THROWS_WITH(make_plan(options({small("a b"), small("a/b")}, {"ulp"})),
                    Catch::Contains("two recipes want the folder"));
  CHECK_THROWS_WITH(make_plan(options({small("a"), small("a")}, {"ulp"})),
                    Catch::Contains("give one another name"));
}

TEST_CASE("plan: the identity names build, data, cells and every setting") {
  const Plan plan = make_plan(options({small("a")}, {"ulp"}));
  CHECK(plan.identity.at("recipes").at("a").at("data.batch") == 8);
  CHECK(plan.identity.at("cells") == Json::array({"a/ulp/seed-1"}));
  CHECK(plan.identity.at("build").get<std::string>().size() == 32);
  CHECK(plan.identity.contains("data"));
}

}  // namespace
}  // namespace faultline::harness
