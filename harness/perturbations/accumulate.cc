#include "harness/perturbation.h"
#include "harness/perturbations/product_unit.h"

namespace faultline::harness {
const Registered<Perturbation> kAccumulate{
    "accumulate",
    {"products accumulated in f16 instead of f32, or the other way round, where the unit has both, for "
     "recipes whose precision.unit is a chip's",
     false, "a fixed precision.accumulate: name the accumulator instead of letting a library choose it",
     [](Launch& launch, uint64_t, const std::string&) {
       const bool f16 = launch.recipe.text("precision.accumulate") == "f16";
       launch.recipe.set("precision.accumulate", f16 ? "f32" : "f16", "accumulate");
     },
     [](const Recipe& recipe) {
       const std::string& unit = recipe.text("precision.unit");
       return once_if(names_chip(recipe) && unit_takes(unit, recipe, "f32") &&
                      unit_takes(unit, recipe, "f16"));
     }}};

}  // namespace faultline::harness
