#include "harness/recipes/recipes.h"

#include <filesystem>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "harness/recipes/recipe_files.h"

namespace faultline::harness {
namespace {

std::string stem(std::string_view file) { return std::filesystem::path(file).stem().string(); }

Recipe read_json(const std::string& path) {
  const Json json = Json::parse(read_file(path), nullptr, false);
  if (!json.is_object()) throw Error(ErrorCode::kData, path, "is not a recipe: no JSON object");
  return Recipe::from_json(json, path);
}

}  // namespace

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const auto& [file, text] : recipe_files()) names.push_back(stem(file));
  return names;
}

Recipe find_recipe(const std::string& name_or_path) {
  const std::string extension = std::filesystem::path(name_or_path).extension().string();
  if (extension == ".json") return read_json(name_or_path);
  if (extension == ".yaml" || extension == ".yml" || name_or_path.find('/') != std::string::npos) {
    return Recipe::from_file(name_or_path);
  }
  for (const auto& [file, text] : recipe_files()) {
    if (stem(file) == name_or_path) return Recipe::from_yaml(std::string(text), std::string(file));
  }
  const std::string guess = nearest(name_or_path, recipe_names());
  throw Error(ErrorCode::kNotFound, "recipe",
              "unknown name '" + name_or_path + "'" +
                  (guess.empty() ? "" : ", did you mean '" + guess + "'?") +
                  " (known: " + join(recipe_names(), ", ") + "; or the path of a YAML file)");
}

}  // namespace faultline::harness
