#include "harness/perturbation.h"

namespace faultline::harness {

const Registered<Perturbation> kThreads{
    "threads",
    {"one thread more (odd seeds) or two more (even seeds)", true, "",
     [](Launch& launch, uint64_t seed, const std::string&) {
       const int64_t threads = launch.recipe.integer("runtime.threads");
       launch.recipe.set_value("runtime.threads", threads + (seed % 2 != 0 ? 1 : 2), "threads");
     }}};

}  // namespace faultline::harness
