#include "harness/sweep.h"

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/text.h"
#include "harness/cli/command_line.h"
#include "harness/dry_run.h"
#include "harness/perturbation.h"
#include "harness/processes.h"
#include "harness/recipes/recipes.h"
#include "harness/sweep_plan.h"

namespace faultline::harness {
namespace {

constexpr int64_t kMostSeeds = 1000;

// What the command line holds, as it was given.
struct Given {
  const std::vector<std::string>&recipes, &perturbations, &assignments, &only, &expectations;
  const std::string &seeds, &folder;
  const int64_t& jobs;
  const bool &list, &dry_run, &fresh;
};

int64_t positive(const std::string& text, const std::string& option) {
  const std::optional<int64_t> value = parse_number<int64_t>(text);
  if (value && *value > 0) return *value;
  throw Error(ErrorCode::kArgument, option, "'" + text + "' is not a whole number above 0");
}

// "3": seeds 1 to 3; "1,5,9": these; "7,": this one.
std::vector<int64_t> parse_seeds(const std::string& text) {
  std::vector<int64_t> seeds;
  if (text.find(',') == std::string::npos) {
    const int64_t count = positive(text, "--seeds");
    if (count > kMostSeeds) {
      throw Error(ErrorCode::kArgument, "--seeds",
                  text + " seeds are too many; for the one seed write '" + text + ",'");
    }
    for (int64_t seed = 1; seed <= count; ++seed) seeds.push_back(seed);
    return seeds;
  }
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const int64_t seed = positive(text.substr(begin, comma - begin), "--seeds");
    if (std::find(seeds.begin(), seeds.end(), seed) != seeds.end()) {
      throw Error(ErrorCode::kArgument, "--seeds", "seed " + std::to_string(seed) + " is given twice");
    }
    seeds.push_back(seed);
    begin = comma + 1;
  }
  return seeds;
}

std::map<std::string, std::string> parse_expectations(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> expect;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
    if (value != "bitwise" && value != "parts") {
      throw Error(ErrorCode::kArgument, "--expect",
                  "'" + text + "' should look like threads=bitwise or shuffled=parts");
    }
    Registry<Perturbation>::instance().find(text.substr(0, equals));
    expect[text.substr(0, equals)] = value;
  }
  return expect;
}

std::string command_of(const std::vector<std::string>& arguments) {
  const bool bazel = std::getenv("BUILD_WORKSPACE_DIRECTORY") != nullptr;
  std::string command = bazel ? "bazel run //harness:sweep" : "faultline sweep";
  if (bazel && !arguments.empty()) command += " --";
  for (const std::string& argument : arguments) command += " " + shell_quoted(argument);
  return command;
}

SweepOptions resolve(const Given& given, const std::vector<std::string>& arguments) {
  SweepOptions options;
  for (const std::string& name : given.recipes.empty() ? recipe_names() : given.recipes) {
    options.recipes.push_back(find_recipe(name));
  }
  for (const std::string& assignment : given.assignments) {
    options.recipes = multiply(options.recipes, assignment);
  }
  options.perturbations = given.perturbations.empty() ? perturbation_names() : given.perturbations;
  for (const std::string& name : options.perturbations) Registry<Perturbation>::instance().find(name);
  options.only = given.only;
  options.expect = parse_expectations(given.expectations);
  options.seeds = parse_seeds(given.seeds);
  if (given.jobs < 0) throw Error(ErrorCode::kArgument, "--jobs", "must not be negative");
  options.jobs = static_cast<int>(given.jobs);
  options.folder = given.folder;
  options.fresh = given.fresh;
  options.command = command_of(arguments);
  return options;
}

std::string listing(const SweepOptions& options) {
  std::string text = "recipes\n";
  for (const Recipe& recipe : options.recipes) {
    text += "  " + recipe.name() + ": " + recipe.text("model.name") + ", " + recipe.text("data.name") + ", " +
            recipe.text("precision.compute") + " on " + recipe.text("precision.unit") + ", loss scaler " +
            recipe.text("amp.scaler") + "\n";
  }
  text += "perturbations\n";
  for (const std::string& name : options.perturbations) {
    const Perturbation& perturbation = Registry<Perturbation>::instance().find(name);
    text +=
        "  " + name + ": " + perturbation.meaning + (perturbation.expect_bitwise ? " (bitwise)" : "") + "\n";
  }
  text += "cells\n";
  const Plan plan = make_plan(options);
  for (const PlannedCell& cell : plan.cells) {
    const PlannedRun& run = plan.runs[cell.run];
    text += "  " + run.recipe + "/" + run.perturbation + ", seed " + std::to_string(run.seed) + "\n";
  }
  return text;
}

// Prints the result; an exit code of the sweep says whether it is as expected.
int show(const SweepResult& result, const std::map<std::string, std::string>& expect) {
  const bool colour = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  const std::vector<std::string> unmet = unmet_expectations(result, expect);
  std::cout << answer(result) << "\n\n" << matrix_text(result, colour) << "\n";
  for (const std::string& line : unmet) std::cout << "not as expected: " << line << "\n";
  std::cout << result.folder << "/" << kReportFile << std::endl;
  for (const Cell& cell : result.cells) {
    if (!cell.failure.empty()) throw Error(ErrorCode::kData, cell.run_folder, cell.failure);
  }
  return unmet.empty() ? kAsExpected : kNotAsExpected;
}

int sweep_command(const Given& given, const std::vector<std::string>& arguments) {
  const SweepOptions options = resolve(given, arguments);
  if (given.list) {
    std::cout << listing(options);
    return kAsExpected;
  }
  if (given.dry_run) {
    std::cout << dry_run(options);
    return kAsExpected;
  }
  if (const auto result = sweep(options)) return show(*result, options.expect);
  throw Error(ErrorCode::kIo, "sweep",
              "interrupted; what has finished is kept in " + options.folder +
                  ", the same command goes on from there");
}

const Registered<Subcommand> kSweep{
    "sweep",
    {"runs every recipe under every perturbation and says which stay bitwise equal", [](Options& options) {
       const Given given{
           options.texts("--recipe", "name of a recipe, or path of a file (default: all that are built in)"),
           options.texts("--perturbation", "name of a perturbation (default: all)"),
           options.texts("--set", "a.b=c: another value for a setting; a comma list multiplies the recipes"),
           options.texts("--only", "recipe/perturbation, either may be a glob: only these cells"),
           options.texts("--expect", "perturbation=bitwise or =parts: exit code 1 where it is otherwise"),
           options.text("--seeds", "1", "how many, or a list as in 1,5,9"),
           options.text("--out", "faultline-out", "folder of the results"),
           options.integer(
               "--jobs", 0,
               "processes at once, a run of several threads for as many; 0: as many as processors"),
           options.flag("--list", "print recipes, perturbations and cells"),
           options.flag("--dry-run", "print how many runs, minutes and bytes it would take"),
           options.flag("--fresh", "remove an earlier sweep from the folder first"),
       };
       return [given, &options] { return sweep_command(given, options.given()); };
     }}};

}  // namespace
}  // namespace faultline::harness
