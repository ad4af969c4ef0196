#include "harness/sweep_plan.h"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "engine/base/digest.h"
#include "engine/base/error.h"
#include "engine/base/text.h"
#include "harness/machine.h"
#include "harness/trainer.h"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

// Returns the parts between commas that are outside of brackets.
std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    depth += (c == '[') - (c == ']');
    if (c == ',' && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// A name as one folder: anything that a path or a shell could read otherwise becomes '_'.
std::string folder_name(const std::string& name) {
  std::string folder;
  for (const char c : name) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) ||
                       std::string_view("+-=._").find(c) != std::string_view::npos;
    folder += plain ? c : '_';
  }
  return folder.empty() || folder[0] == '.' ? "_" + folder : folder;
}

class Selection {
 public:
  explicit Selection(const std::vector<std::string>& patterns) : patterns_(patterns) {
    for (const std::string& pattern : patterns) {
      if (std::count(pattern.begin(), pattern.end(), '/') == 1) continue;
      throw Error(
          ErrorCode::kArgument, "--only",
          "'" + pattern + "' is not recipe/perturbation; either side may be a glob, as in 'f16*/threads'");
    }
  }

  // By the run's own name, or by its column's.
  bool takes(const std::string& recipe, const std::string& run_name) {
    bool taken = patterns_.empty();
    for (const std::string& name : {recipe + "/" + run_name, recipe + "/" + column_of(run_name)}) {
      known_.push_back(name);
      for (const std::string& pattern : patterns_) {
        if (fnmatch(pattern.c_str(), name.c_str(), FNM_PATHNAME) != 0) continue;
        taken = true;
        matched_.insert(pattern);
      }
    }
    return taken;
  }

  void check_all_matched() const {
    for (const std::string& pattern : patterns_) {
      if (matched_.contains(pattern)) continue;
      const std::string guess = nearest(pattern, known_);
      throw Error(ErrorCode::kArgument, "--only",
                  "'" + pattern + "' matches no cell" +
                      (guess.empty() ? "" : ", did you mean '" + guess + "'?") + " (see --list)");
    }
  }

 private:
  std::vector<std::string> patterns_, known_;
  std::set<std::string> matched_;
};

void check_names(const std::vector<Recipe>& recipes) {
  if (recipes.empty()) throw Error(ErrorCode::kArgument, "sweep", "no recipe");
  std::map<std::string, std::string> folders;
  for (const Recipe& recipe : recipes) {
    const auto [other, added] = folders.emplace(folder_name(recipe.name()), recipe.name());
    if (added) continue;
    throw Error(ErrorCode::kArgument, "recipe",
                "two recipes want the folder '" + other->first + "': '" + other->second + "' and '" +
                    recipe.name() + "'; give one another name");
  }
}

std::string key_of(const PlannedRun& run, const Json& data) {
  const Json all = {{"recipe", run.launch.recipe.json()},
                    {"environment", run.launch.environment},
                    {"working_folder", run.launch.working_folder},
                    {"clock_shift_s", run.launch.clock_shift_s},
                    {"data", data},
                    {"build", build_id()}};
  return digest_text(all.dump()).hex();
}

// Relative data paths are the caller's, whatever folder a run is started in.
Recipe placed(Recipe recipe) {
  const std::string& path = recipe.text("data.path");
  if (!path.empty()) recipe.set_value("data.path", fs::absolute(path).string(), "data.path");
  return recipe;
}

// Adds the runs and cells of one recipe and seed.
void add_cells(Plan& plan, const Recipe& recipe, int64_t seed, const std::vector<std::string>& perturbations,
               const Json& data) {
  const auto add_run = [&](const std::string& perturbation) {
    PlannedRun run{recipe.name(), perturbation, seed, "", {}, ""};
    run.folder =
        folder_name(recipe.name()) + "/" + folder_name(perturbation) + "/seed-" + std::to_string(seed);
    run.launch.recipe = recipe;
    run.launch.recipe.set_value("train.seed", seed, "--seeds");
    if (perturbation != kBaseline) perturb(run.launch, perturbation, static_cast<uint64_t>(seed));
    run.key = key_of(run, data);
    plan.runs.push_back(std::move(run));
    return plan.runs.size() - 1;
  };
  const size_t baseline = add_run(kBaseline);
  for (const std::string& perturbation : perturbations)
    plan.cells.push_back({baseline, add_run(perturbation)});
}

Json identity_of(const Plan& plan, const Json& data) {
  Json identity = {{"build", build_id()}, {"data", data}, {"cells", Json::array()}};
  for (const Recipe& recipe : plan.recipes) identity["recipes"][recipe.name()] = recipe.json();
  for (const PlannedCell& cell : plan.cells) identity["cells"].push_back(plan.runs[cell.run].folder);
  return identity;
}

}  // namespace

std::vector<Recipe> multiply(const std::vector<Recipe>& recipes, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos) {
    throw Error(ErrorCode::kArgument, "--set",
                "'" + assignment + "' has no '=', it should look like amp.scaler=dynamic");
  }
  const std::string path = assignment.substr(0, equals);
  const std::vector<std::string> values = split_list(assignment.substr(equals + 1));
  std::vector<Recipe> result;
  for (const Recipe& recipe : recipes) {
    for (const std::string& value : values) {
      Recipe& changed = result.emplace_back(recipe);
      changed.set(path, value);
      if (values.size() > 1) changed.set_value("name", recipe.name() + "+" + path + "=" + value, "--set");
    }
  }
  return result;
}

Plan make_plan(const SweepOptions& options) {
  check_names(options.recipes);
  Plan plan{{}, {}, options.seeds, {}, {}, {}};
  Selection selection(options.only);
  Json all_data = Json::object();
  std::set<std::string> used;
  for (const Recipe& given : options.recipes) {
    std::vector<std::string> taken;
    for (const std::string& perturbation : options.perturbations) {
      for (const std::string& name : run_names(perturbation, given)) {
        if (!selection.takes(given.name(), name)) continue;
        taken.push_back(name);
        used.insert(perturbation);
      }
    }
    if (taken.empty()) continue;
    const Recipe recipe = placed(given);
    const Json data = data_sums(recipe);
    all_data.update(data);
    plan.recipes.push_back(recipe);
    for (const int64_t seed : options.seeds) add_cells(plan, recipe, seed, taken, data);
  }
  selection.check_all_matched();
  if (plan.cells.empty()) {
    throw Error(ErrorCode::kArgument, "sweep",
                "no cell: " + join(options.perturbations, ", ") + " applies to none of these recipes");
  }
  for (const auto& [perturbation, value] : options.expect) {
    if (used.contains(perturbation)) continue;
    throw Error(ErrorCode::kArgument, "--expect",
                "'" + perturbation + "=" + value + "': this sweep has no cell under " + perturbation +
                    "; without it, --list shows those it has");
  }
  for (const std::string& perturbation : options.perturbations) {
    if (used.contains(perturbation)) plan.perturbations.push_back(perturbation);
  }
  plan.identity = identity_of(plan, all_data);
  return plan;
}

}  // namespace faultline::harness
