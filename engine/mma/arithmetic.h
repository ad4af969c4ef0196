#pragma once

#include <cstdint>
#include <string>

#include "engine/numerics/dtype.h"

namespace faultline {

// Order of the partial sums of gradients whose index contains the sample (numerics.md 4).
enum class Order : uint8_t {
  kOrdered,   // the definition: leaves of 8 samples, fixed tree
  kShuffled,  // blocks of 256 in an order drawn from a seed: atomic additions on a GPU
};

// How a sum of products whose index contains the sample is cut (numerics.md 3).
enum class KPlanRule : uint8_t {
  kOfUnit,  // fma: leaf; every other unit: chain
  kChain,   // the whole k, samples included, as libraries do
  kLeaf,    // leaves of 8 samples, fixed tree: micro-batches and ranks keep the bits
};

// The unit of numerics.md 2.1, to which alone the blocks of 512 apply.
inline constexpr const char* kFmaUnit = "fma";

// Everything that, beside the operands, decides the bits of a sum or a product. Part of each op's call,
// written into the manifest per op.
struct Arithmetic {
  std::string unit = kFmaUnit;  // a name in the unit registry
  bool tf32 = false;            // round f32 operands of products to tf32 first
  Tf32Rounding tf32_rounding = Tf32Rounding::kRna;
  Dtype accumulate = Dtype::kF32;         // kF32 or kF16
  KPlanRule k_plan = KPlanRule::kOfUnit;  // not where split_k > 1
  int split_k = 1;                        // products: k cut into this many consecutive ranges
  bool split_reduce_in_output = false;    // add the parts in the output type instead of f32
  Order order = Order::kOrdered;
  uint64_t order_seed = 0;    // kShuffled draws from it (with order_stream)
  uint64_t order_stream = 0;  // which sum of the run this is: set per op call by the run

  bool operator==(const Arithmetic&) const = default;
};

// Whether sums over samples are cut into leaves.
inline bool adds_by_leaves(const Arithmetic& a) {
  return a.k_plan == KPlanRule::kLeaf || (a.k_plan == KPlanRule::kOfUnit && a.unit == kFmaUnit);
}

}  // namespace faultline
