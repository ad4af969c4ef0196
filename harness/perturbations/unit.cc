#include "engine/mma/unit.h"

#include "harness/perturbation.h"
#include "harness/perturbations/product_unit.h"

namespace faultline::harness {
namespace {

// The same chip under another name, as h200 is h100.
bool same_unit(const std::string& a, const std::string& b) {
  const Registry<Unit>& units = Registry<Unit>::instance();
  const std::vector<StepRule>& rules = units.find(a).rules;
  return a == b || (!rules.empty() && rules == units.find(b).rules);
}

std::vector<std::string> other_chips(const Recipe& recipe) {
  const std::string &own = recipe.text("precision.unit"), &accumulate = recipe.text("precision.accumulate");
  std::vector<std::string> chips;
  if (!names_chip(recipe)) return chips;
  for (const char* chip : {"v100", "a100", "h100", "b200", "amx_bf16"}) {
    if (unit_takes(chip, recipe, accumulate) && !same_unit(chip, own)) chips.push_back(chip);
  }
  return chips;
}

const Registered<Perturbation> kUnit{
    "unit",
    {"the products of another chip (v100, a100, h100, b200, amx_bf16, where it has the formats), for recipes "
     "whose precision.unit is a chip's",
     false, "one generation of chips for all runs, or precision.unit=fma",
     [](Launch& launch, uint64_t, const std::string& chip) {
       launch.recipe.set("precision.unit", chip, "unit");
     },
     other_chips}};

}  // namespace
}  // namespace faultline::harness
