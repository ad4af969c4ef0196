#include "harness/sweep_result.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <tuple>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "harness/perturbation.h"

namespace faultline::harness {
namespace {

Json cell_to_json(const Cell& cell) {
  return {{"recipe", cell.recipe},
          {"perturbation", cell.perturbation},
          {"seed", cell.seed},
          {"baseline_folder", cell.baseline_folder},
          {"run_folder", cell.run_folder},
          {"failure", cell.failure},
          {"verdict", to_json(cell.verdict)},
          {"step_time_us", cell.step_time_us}};
}

Cell cell_from_json(const Json& json) {
  return {json.at("recipe"),
          json.at("perturbation"),
          json.at("seed"),
          json.at("baseline_folder"),
          json.at("run_folder"),
          json.at("failure"),
          verdict_from_json(json.at("verdict")),
          json.at("step_time_us")};
}

int64_t parting_step(const Cell& cell) {
  return cell.verdict.first ? cell.verdict.first->step : cell.verdict.first_differing_step;
}

}  // namespace

Standing standing(const Cell& cell) {
  const Verdict& v = cell.verdict;
  if (!cell.failure.empty()) return Standing::kFailed;
  if (v.bitwise) return Standing::kBitwise;
  const bool accuracies_agree = std::fabs(v.accuracy_a - v.accuracy_b) <= kAccuracyTolerance;
  return v.schedule || !accuracies_agree ? Standing::kBreaks : Standing::kParts;
}

bool parted(const Cell& cell) {
  return standing(cell) == Standing::kParts || standing(cell) == Standing::kBreaks;
}

bool is_under(const Cell& cell, const std::string& perturbation) {
  return cell.perturbation == perturbation || column_of(cell.perturbation) == perturbation;
}

const Cell* worst(const SweepResult& result, const std::string& recipe, const std::string& perturbation) {
  const auto badness = [](const Cell& cell) { return std::tuple(standing(cell), -parting_step(cell)); };
  const Cell* worst = nullptr;
  for (const Cell& cell : result.cells) {
    if (cell.recipe != recipe || !is_under(cell, perturbation)) continue;
    if (worst == nullptr || badness(cell) > badness(*worst)) worst = &cell;
  }
  return worst;
}

Json to_json(const SweepResult& result) {
  Json json = {{"recipes", Json::array()},
               {"perturbations", result.perturbations},
               {"seeds", result.seeds},
               {"cells", Json::array()},
               {"step_time_us", result.step_time_us},
               {"command", result.command},
               {"build", result.build},
               {"seconds", result.seconds}};
  for (const Recipe& recipe : result.recipes) json["recipes"].push_back(recipe.json());
  for (const Cell& cell : result.cells) json["cells"].push_back(cell_to_json(cell));
  return json;
}

SweepResult sweep_from_json(const Json& json) {
  SweepResult result;
  for (const Json& recipe : json.at("recipes")) {
    result.recipes.push_back(Recipe::from_json(recipe, kSweepFile));
  }
  json.at("perturbations").get_to(result.perturbations);
  json.at("seeds").get_to(result.seeds);
  for (const Json& cell : json.at("cells")) result.cells.push_back(cell_from_json(cell));
  json.at("step_time_us").get_to(result.step_time_us);
  json.at("command").get_to(result.command);
  json.at("build").get_to(result.build);
  json.at("seconds").get_to(result.seconds);
  return result;
}

SweepResult read_sweep(const std::string& folder) {
  const std::string path = folder + "/" + kSweepFile;
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorCode::kNotFound, folder,
                "is not the folder of a sweep: it has no " + std::string(kSweepFile));
  }
  try {
    SweepResult result = sweep_from_json(Json::parse(read_file(path)));
    result.folder = folder;
    return result;
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::kData, path, std::string("is not what a sweep writes: ") + error.what());
  }
}

}  // namespace faultline::harness
