#include "amp/policy.h"

#include <fmt/format.h>

#include "engine/base/error.h"
#include "engine/mma/unit.h"
#include "engine/ops/cast.h"

namespace faultline::amp {
namespace {

bool castable(Dtype dtype) { return is_float(dtype) && dtype != Dtype::kF64; }

bool is_parameter(const Variable& variable) {
  return variable.requires_grad() && !variable.name().empty() && variable.value().dtype() == Dtype::kF32;
}

// The format that tensors of the compute format are stored in.
Dtype stored(Dtype compute) { return compute == Dtype::kTf32 ? Dtype::kF32 : compute; }

}  // namespace

Autocast::Autocast(Policy policy) : policy_(std::move(policy)) {
  const auto refuse = [](const std::string& message) {
    throw Error(ErrorCode::kArgument, "precision policy", message);
  };
  if (!castable(policy_.compute)) {
    refuse(fmt::format("products cannot run in {}, choose f32, tf32, bf16 or f16", name(policy_.compute)));
  }
  if (policy_.split_k < 1) refuse(fmt::format("split_k = {} must be at least 1", policy_.split_k));
  check_unit({.unit = policy_.unit, .accumulate = policy_.accumulate}, policy_.compute, "precision policy");
}

Variable Autocast::cast_input(const OpDef& op, size_t index, const Variable& input, Dtype target) {
  const bool keep = is_parameter(input);
  if (keep) {
    const auto known = casts_.find(input.state());
    if (known != casts_.end()) return known->second.second;
  }
  const Scope scope("cast_" + op.input_names.at(index));
  const Variable result = faultline::cast(input, target);
  if (keep) casts_.emplace(input.state(), std::pair(input, result));
  return result;
}

std::vector<Variable> Autocast::cast(const OpDef& op, std::vector<Variable> inputs) {
  const bool product = op.numeric_class == NumericClass::kProduct;
  if (!product && op.numeric_class != NumericClass::kF32) return inputs;
  const Dtype target = product ? stored(policy_.compute) : Dtype::kF32;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    const Dtype dtype = inputs[i].value().dtype();
    if (castable(dtype) && dtype != target) inputs[i] = cast_input(op, i, inputs[i], target);
  }
  return inputs;
}

Arithmetic Autocast::arithmetic(const OpDef& op) const {
  Arithmetic arithmetic;
  arithmetic.order = policy_.order;
  arithmetic.order_seed = policy_.order_seed;
  if (op.numeric_class != NumericClass::kProduct) return arithmetic;
  arithmetic.unit = policy_.unit;
  arithmetic.tf32 = policy_.compute == Dtype::kTf32;
  arithmetic.tf32_rounding = policy_.tf32_rounding;
  arithmetic.accumulate = policy_.accumulate;
  arithmetic.k_plan = policy_.k_plan;
  arithmetic.split_k = policy_.split_k;
  arithmetic.split_reduce_in_output = policy_.split_reduce_in_output;
  return arithmetic;
}

ResolvedOp resolve(const Policy& policy, NumericClass numeric_class) {
  const char* order = policy.order == Order::kShuffled ? "shuffled" : "ordered";
  switch (numeric_class) {
    case NumericClass::kProduct: {
      std::string type = name(policy.compute);
      if (policy.compute == Dtype::kTf32) type += fmt::format(" ({})", name(policy.tf32_rounding));
      std::string accumulator = fmt::format("{} {}", name(policy.accumulate), order);
      if (policy.split_k > 1) {
        accumulator += fmt::format(", split in {}, added in {}", policy.split_k,
                                   policy.split_reduce_in_output ? name(stored(policy.compute)) : "f32");
      }
      if (policy.k_plan != KPlanRule::kOfUnit) {
        accumulator += policy.k_plan == KPlanRule::kLeaf ? ", samples in leaves" : ", samples in one chain";
      }
      return {numeric_class, type, policy.unit, accumulator};
    }
    case NumericClass::kF32:
      return {numeric_class, "f32", "", fmt::format("f32 {}", order)};
    case NumericClass::kWidest:
      return {numeric_class, "widest of the inputs", "", fmt::format("f32 {}", order)};
    case NumericClass::kAsIs:
      break;
  }
  return {NumericClass::kAsIs, "as the input", "", fmt::format("f32 {}", order)};
}

std::vector<ResolvedOp> resolve(const Policy& policy) {
  std::vector<ResolvedOp> resolved;
  for (const NumericClass numeric_class :
       {NumericClass::kProduct, NumericClass::kF32, NumericClass::kWidest, NumericClass::kAsIs}) {
    resolved.push_back(resolve(policy, numeric_class));
  }
  return resolved;
}

}  // namespace faultline::amp
