#include "harness/perturbation.h"
#include "harness/perturbations/product_unit.h"

namespace faultline::harness {
namespace {

std::string other_unit(const Recipe& recipe) {
  return recipe.text("precision.unit") == "eigen" ? "fma" : "eigen";
}

const Registered<Perturbation> kEigen{
    "eigen",
    {"a library's product (Eigen) instead of ours, or ours if the recipe runs on Eigen", false,
     "one library in one version on every machine, or precision.unit=fma",
     [](Launch& launch, uint64_t, const std::string&) {
       launch.recipe.set("precision.unit", other_unit(launch.recipe), "eigen");
     },
     [](const Recipe& recipe) {
       return once_if(unit_takes(other_unit(recipe), recipe, recipe.text("precision.accumulate")));
     }}};

}  // namespace
}  // namespace faultline::harness
