#include "harness/run.h"

#include <fmt/format.h>

#include <iostream>

#include "engine/base/error.h"
#include "harness/cli/command_line.h"
#include "harness/recipes/recipes.h"

namespace faultline::harness {
namespace {

int run_command(const std::string& recipe_name, const std::vector<std::string>& assignments,
                const std::string& folder, const std::string& labels_text) {
  Recipe recipe = find_recipe(recipe_name);
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) {
      throw Error(ErrorCode::kArgument, "--set",
                  "'" + assignment + "' has no '=', it should look like amp.scaler=dynamic");
    }
    recipe.set(assignment.substr(0, equals), assignment.substr(equals + 1));
  }
  const Json labels = Json::parse(labels_text, nullptr, false);
  if (!labels.is_object()) throw Error(ErrorCode::kArgument, "--labels", "is not a JSON object");
  const RunResult result = run(recipe, folder, labels);
  std::cout << fmt::format("{}: {} steps, loss {:.4f}, test accuracy {:.4f}, {:.2f} ms a step\n{}/{}\n",
                           recipe.name(), result.steps, result.final_loss, result.test_accuracy,
                           result.step_time_us / 1000, folder, kLedgerFile);
  return kAsExpected;
}

const Registered<Subcommand> kRun{
    "run", {"trains one recipe and writes its ledger", [](Options& options) {
              const auto& recipe = options.text("--recipe", "f32", "name of a recipe, or path of a file");
              const auto& assignments = options.texts("--set", "a.b=c: another value for a setting");
              const auto& folder = options.text("--folder", "faultline-run", "where the ledger goes");
              const auto& labels = options.text("--labels", "{}", "JSON that the manifest takes as it is");
              return [&] { return run_command(recipe, assignments, folder, labels); };
            }}};

}  // namespace
}  // namespace faultline::harness
