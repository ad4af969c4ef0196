#include "harness/perturbation.h"

namespace faultline::harness {

const Registered<Perturbation> kSplitK{
    "split_k",
    {"k of every product cut into four ranges (two, if it is four already)", false,
     "a fixed precision.split_k: pin the library's algorithm instead of letting it choose by size",
     [](Launch& launch, uint64_t, const std::string&) {
       const int64_t parts = launch.recipe.integer("precision.split_k");
       launch.recipe.set_value("precision.split_k", parts == 4 ? 2 : 4, "split_k");
     }}};

}  // namespace faultline::harness
