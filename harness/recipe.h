#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace faultline::harness {

using Json = nlohmann::json;

// One setting that can change a result or a record: a row of the recipe's schema. Everything that knows
// settings (YAML, --set, defaults in the manifest, error messages, README's table) reads this table.
struct Setting {
  std::string path;  // "amp.scaler"
  Json fallback;     // its type is the setting's type: integer, number, boolean, text or list of integers
  std::string meaning;
  double minimum = 0, maximum = 0;                  // numbers: the closed range, if minimum < maximum
  std::vector<std::string> (*choices)() = nullptr;  // text: the known names
};
const std::vector<Setting>& settings();

// What a person chooses, with every default written out: a validated JSON object of settings by path.
class Recipe {
 public:
  Recipe();  // all defaults

  // Reads YAML; keys not given keep their defaults. `source` names the file in errors.
  // Throws kArgument for an unknown key (with the nearest known one), a wrong type or a value out of range.
  static Recipe from_yaml(const std::string& text, const std::string& source);
  static Recipe from_file(const std::string& path);
  static Recipe from_json(const Json& json, const std::string& source);  // flat, path -> value

  // Sets one value from text: "amp.scaler", "dynamic". Throws as from_yaml; `source` is "--set".
  void set(const std::string& path, const std::string& text, const std::string& source = "--set");
  void set_value(const std::string& path, const Json& value, const std::string& source);

  int64_t integer(const std::string& path) const;
  double real(const std::string& path) const;
  bool flag(const std::string& path) const;
  const std::string& text(const std::string& path) const;
  std::vector<int64_t> integers(const std::string& path) const;
  std::string name() const { return text("name"); }

  const Json& json() const { return values_; }  // flat object, path -> value, sorted
  std::string yaml() const;                     // nested, every setting, with its meaning as a comment

 private:
  Json values_;
};

}  // namespace faultline::harness
