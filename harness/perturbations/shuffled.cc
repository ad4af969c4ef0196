#include "harness/perturbation.h"

namespace faultline::harness {

const Registered<Perturbation> kShuffled{
    "shuffled",
    {"partial sums of gradients added in an order drawn from the seed, as atomic additions on a GPU are",
     false, "reduction.order=ordered, or a library's deterministic algorithms",
     [](Launch& launch, uint64_t seed, const std::string&) {
       // A recipe that is shuffled already gets another shuffle.
       const int64_t before = launch.recipe.integer("reduction.seed");
       launch.recipe.set("reduction.order", "shuffled", "shuffled");
       launch.recipe.set_value("reduction.seed", before + static_cast<int64_t>(seed), "shuffled");
     }}};

}  // namespace faultline::harness
