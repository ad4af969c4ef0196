#include "harness/perturbation.h"

namespace faultline::harness {

const Registered<Perturbation> kEigen{
    "eigen",
    {"a library's product (Eigen) instead of ours, or ours if the recipe runs on Eigen", false,
     "one library in one version on every machine, or precision.unit=fma", [](Launch& launch, uint64_t) {
       const bool eigen = launch.recipe.text("precision.unit") == "eigen";
       launch.recipe.set("precision.unit", eigen ? "fma" : "eigen", "eigen");
     }}};

}  // namespace faultline::harness
