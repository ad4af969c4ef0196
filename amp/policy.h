#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/autograd/execution.h"

namespace faultline::amp {

// Which formats and which arithmetic a run uses. Part of the recipe.
struct Policy {
  Dtype compute = Dtype::kF32;  // format of products: kF32, kTf32, kBf16 or kF16
  std::string unit = "fma";     // matrix unit of products
  Dtype accumulate = Dtype::kF32;
  Tf32Rounding tf32_rounding = Tf32Rounding::kRna;
  KPlanRule k_plan = KPlanRule::kOfUnit;
  int split_k = 1;
  bool split_reduce_in_output = false;
  Order order = Order::kOrdered;
  uint64_t order_seed = 0;
};

// Applies a policy to every op by its numeric class, never by its name (numerics.md 2.7, peers.md B1):
//   product         inputs of 32 or 16 bits are cast to the compute format; the policy's unit and accumulator
//   f32             16-bit inputs are widened to f32
//   widest, as is   inputs as they come
// f64 and integer inputs stay as they are. Under kF32 and kTf32 nothing is cast; kTf32 rounds in the unit.
// A parameter is cast once a step, whatever the number of its uses; its gradients then meet in the compute
// format.
class Autocast : public PrecisionHook {
 public:
  // Throws kArgument for a policy that cannot be, and what check_unit throws.
  explicit Autocast(Policy policy);

  // Forgets the parameters' casts. Call it before each forward pass that gets its own backward: an optimizer
  // step made them stale, and a backward released their part of the tape.
  void begin_step() { casts_.clear(); }

  std::vector<Variable> cast(const OpDef& op, std::vector<Variable> inputs) override;
  Arithmetic arithmetic(const OpDef& op) const override;
  const Policy& policy() const { return policy_; }

 private:
  Variable cast_input(const OpDef& op, size_t index, const Variable& input, Dtype target);

  Policy policy_;
  // Holds the source too, so that its state's address is not used again while it is a key.
  std::unordered_map<Variable::State*, std::pair<Variable, Variable>> casts_;
};

// What a policy makes of one numeric class, for the manifest.
struct ResolvedOp {
  NumericClass numeric_class;
  std::string type;         // "bf16", "f32", "widest of the inputs", "as the input"
  std::string unit;         // products only, else ""
  std::string accumulator;  // "f32 ordered"
};
ResolvedOp resolve(const Policy& policy, NumericClass numeric_class);
std::vector<ResolvedOp> resolve(const Policy& policy);  // every class

}  // namespace faultline::amp
