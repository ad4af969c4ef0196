#include "engine/numerics/philox.h"
#include "harness/perturbation.h"
#include "harness/trainer.h"

namespace faultline::harness {

const Registered<Perturbation> kUlp{
    "ulp",
    {"one unit in the last place of one parameter before the first step, place drawn from the seed", false,
     "none: it shows how fast any difference grows", [](Launch& launch, uint64_t seed, const std::string&) {
       const auto sizes = parameter_sizes(launch.recipe);
       Draws draws(seed, "perturbation/ulp");
       const auto& [parameter, size] = sizes[draws.below(static_cast<uint32_t>(sizes.size()))];
       launch.recipe.set_value("plant.step", 0, "ulp");
       launch.recipe.set("plant.parameter", parameter, "ulp");
       launch.recipe.set_value("plant.element", draws.below(static_cast<uint32_t>(size)), "ulp");
     }}};

}  // namespace faultline::harness
