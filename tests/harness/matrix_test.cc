#include <catch2/catch.hpp>

#include "harness/sweep_result.h"

namespace faultline::harness {
namespace {

Recipe named(const std::string& name) {
  Recipe recipe;
  recipe.set_value("name", name, "test");
  return recipe;
}

Cell bitwise_cell(const std::string& recipe, const std::string& perturbation, int64_t seed = 1) {
  Cell cell{recipe, perturbation, seed, recipe + "/baseline/seed-1", recipe + "/" + perturbation + "/seed-1",
            "",     {},           1500};
  cell.verdict.bitwise = true;
  cell.verdict.accuracy_a = cell.verdict.accuracy_b = 0.75;
  cell.verdict.final_loss_a = cell.verdict.final_loss_b = 0.5;
  return cell;
}

Cell parted_cell(const std::string& recipe, const std::string& perturbation, int64_t step,
                 const std::string& place, int64_t seed = 1) {
  Cell cell = bitwise_cell(recipe, perturbation, seed);
  cell.verdict.bitwise = false;
  cell.verdict.first_differing_step = step;
  Difference& first = cell.verdict.first.emplace();
  first.step = step;
  first.place = place;
  first.index = {3, 0, 1};
  first.ulp = 2;
  cell.verdict.cause = "order of additions";
  return cell;
}

SweepResult example() {
  SweepResult result;
  result.recipes = {named("f32"), named("f16-dynamic")};
  result.perturbations = {"repeat", "shuffled"};
  result.seeds = {1};
  result.cells = {bitwise_cell("f32", "repeat"), parted_cell("f32", "shuffled", 12, "conv1/dw"),
                  bitwise_cell("f16-dynamic", "repeat"),
                  parted_cell("f16-dynamic", "shuffled", 3, "conv2/dw")};
  result.cells[3].verdict.schedule = ScheduleParting{41, 1024, 512, "fc1.weight", 7, false, true};
  return result;
}

TEST_CASE("matrix: a cell stands by its bits, its loss scale and its accuracy") {
  Cell cell = parted_cell("f32", "ulp", 3, "conv2/dw");
  CHECK(standing(bitwise_cell("f32", "repeat")) == Standing::kBitwise);
  CHECK(standing(cell) == Standing::kParts);
  cell.verdict.accuracy_b = 0.7401;
  CHECK(standing(cell) == Standing::kParts);
  cell.verdict.accuracy_b = 0.7399;
  CHECK(standing(cell) == Standing::kBreaks);
  cell.verdict.accuracy_b = 0.75;
  cell.verdict.schedule = ScheduleParting{};
  CHECK(standing(cell) == Standing::kBreaks);
  cell.failure = "no space";
  CHECK(standing(cell) == Standing::kFailed);
}

TEST_CASE("matrix: text without colour has marks, words and a legend") {
  CHECK(matrix_text(example(), false) ==
        "             repeat     shuffled\n"
        "f32          ✓ bitwise  ~ step 12, conv1/dw\n"
        "f16-dynamic  ✓ bitwise  ✗ step 3, conv2/dw\n"
        "✓ bitwise   ~ bits part, loss scale and accuracy agree   ✗ loss scale, a skipped step or accuracy "
        "parts too"
        "   ! no verdict   · not run\n");
}

TEST_CASE("matrix: colours surround the same text") {
  std::string coloured = matrix_text(example(), true), plain;
  CHECK_THAT(coloured, Catch::Contains("\x1b[32m✓ bitwise"));
  for (size_t i = 0; i < coloured.size(); ++i) {
    if (coloured[i] == '\x1b') {
      i = coloured.find('m', i);
    } else {
      plain += coloured[i];
    }
  }
  CHECK(plain == matrix_text(example(), false));
}

TEST_CASE("matrix: several seeds show the worst, and how many part") {
  SweepResult result = example();
  result.recipes = {named("f32")};
  result.seeds = {1, 2, 3};
  result.cells = {bitwise_cell("f32", "repeat", 1),
                  bitwise_cell("f32", "repeat", 2),
                  bitwise_cell("f32", "repeat", 3),
                  bitwise_cell("f32", "shuffled", 1),
                  parted_cell("f32", "shuffled", 9, "conv1/dw", 2),
                  parted_cell("f32", "shuffled", 4, "conv2/dw", 3)};
  CHECK(worst(result, "f32", "shuffled")->seed == 3);
  CHECK(worst(result, "f32", "ulp") == nullptr);
  CHECK_THAT(matrix_text(result, false), Catch::Contains("~ step 4, conv2/dw (2 of 3 seeds)"));
}

// f32 is not on a chip; f16 parts on one of two others.
SweepResult with_units() {
  SweepResult result = example();
  result.perturbations = {"repeat", "unit"};
  result.cells = {bitwise_cell("f32", "repeat"), bitwise_cell("f16-dynamic", "repeat"),
                  bitwise_cell("f16-dynamic", "unit:b200"),
                  parted_cell("f16-dynamic", "unit:a100", 2, "conv1")};
  return result;
}

TEST_CASE("matrix: a column shows the worst of its variants, and how many part") {
  SweepResult result = with_units();
  CHECK(worst(result, "f16-dynamic", "unit")->perturbation == "unit:a100");
  CHECK(worst(result, "f16-dynamic", "unit:b200")->verdict.bitwise);
  CHECK(worst(result, "f32", "unit") == nullptr);
  CHECK_THAT(matrix_text(result, false), Catch::Contains("f32          ✓ bitwise  ·\n") &&
                                             Catch::Contains("~ step 2, conv1 (1 of 2 units)\n"));
  result.seeds = {1, 2};
  result.cells.push_back(bitwise_cell("f16-dynamic", "unit:b200", 2));
  result.cells.push_back(parted_cell("f16-dynamic", "unit:a100", 1, "conv2", 2));
  CHECK_THAT(matrix_text(result, false), Catch::Contains("~ step 1, conv2 (2 of 4 runs)"));
  CHECK_THAT(matrix_csv(result), Catch::Contains("f16-dynamic,unit:b200,2,bitwise") &&
                                     Catch::Contains("f16-dynamic,unit:a100,2,parts"));
}

TEST_CASE("matrix: the answer names the recipes of a column that does not apply to all") {
  SweepResult result = with_units();
  CHECK(answer(result) ==
        "Both recipes are bitwise equal under repeat. Under unit f16-dynamic parts. f16-dynamic parts first, "
        "under unit:a100: step 2, conv1, 2 ulp.");
  result.cells.pop_back();
  CHECK(answer(result) ==
        "Both recipes are bitwise equal under repeat. Under unit f16-dynamic is bitwise equal.");
  result.recipes.push_back(named("bf16"));
  result.cells.push_back(bitwise_cell("bf16", "repeat"));
  result.cells.push_back(parted_cell("bf16", "unit:a100", 2, "conv1"));
  CHECK_THAT(answer(result), Catch::Contains("Under unit 1 of 2 recipes part (bf16)."));
}

TEST_CASE("matrix: a cell that has not been made is a dot, one that failed says so") {
  SweepResult result = example();
  result.cells.pop_back();
  result.cells[1].failure = "no space";
  const std::string text = matrix_text(result, false);
  CHECK_THAT(text, Catch::Contains("! failed"));
  CHECK_THAT(text, Catch::Contains("f16-dynamic  ✓ bitwise  ·"));
}

TEST_CASE("matrix: csv has one row a cell, quoted where it must be") {
  SweepResult result = example();
  result.cells.resize(2);
  result.cells[1].recipe = "f32,\"x\"";
  result.cells.push_back(bitwise_cell("f16", "repeat"));
  result.cells[2].failure = "disk: no space";
  CHECK(matrix_csv(result) ==
        "recipe,perturbation,seed,verdict,step,op,element,ulp,cause,final_loss_a,final_loss_b,accuracy_a,"
        "accuracy_b,"
        "largest_weight_difference,step_time_us\n"
        "f32,repeat,1,bitwise,,,,,,0.5,0.5,0.75,0.75,0,1500\n"
        "\"f32,\"\"x\"\"\",shuffled,1,parts,12,conv1/dw,\"[3, 0, 1]\",2,order of "
        "additions,0.5,0.5,0.75,0.75,0,1500\n"
        "f16,repeat,1,failed,,,,,disk: no space,,,,,,\n");
}

TEST_CASE("matrix: one sentence answers the question") {
  CHECK(answer(example()) ==
        "Both recipes are bitwise equal under repeat. Under shuffled every recipe parts. f16-dynamic parts "
        "first, under "
        "shuffled: step 3, conv2/dw, 2 ulp; its loss scale follows at step 41.");
  SweepResult mixed = example();
  mixed.cells[1] = bitwise_cell("f32", "shuffled");
  CHECK_THAT(answer(mixed), Catch::Contains("Under shuffled 1 of 2 recipes part (f16-dynamic)."));
  mixed.cells[3].failure = "no space";
  CHECK_THAT(answer(mixed), Catch::Contains("1 of 4 cells have no verdict."));
  mixed.cells.clear();
  CHECK(answer(mixed) == "No cell has a verdict.");
}

TEST_CASE("matrix: a planted leaf is not what parts first") {
  SweepResult result = example();
  result.cells[1].verdict.first->step = 0;
  result.cells[1].verdict.first->is_leaf = true;
  CHECK_THAT(answer(result), Catch::Contains("f16-dynamic parts first, under shuffled: step 3"));
}

TEST_CASE("matrix: a result is the same after writing and reading it") {
  SweepResult result = example();
  result.step_time_us = {{"f32", 1200.5}};
  result.command = "faultline sweep --seeds 2";
  result.build = "b";
  result.seconds = 12.25;
  CHECK(to_json(sweep_from_json(Json::parse(to_json(result).dump()))) == to_json(result));
}

}  // namespace
}  // namespace faultline::harness
