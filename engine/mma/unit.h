#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/registry.h"
#include "engine/mma/arithmetic.h"

namespace faultline {

// One call of a matrix unit: c [M, N] = a [M, K] times b [K, N], from +0, K >= 1. All row-major and dense;
// operands are of format `input`, widened exactly; results are of format `accumulate`, widened exactly.
struct UnitProduct {
  int64_t M, N, K;
  const float* a;
  const float* b;
  float* c;
  Dtype input;
  Dtype accumulate;
};

// A row of the table of matrix units (numerics.md 3).
struct Unit {
  static constexpr const char* kKind = "unit";
  std::string description;
  std::vector<Dtype> inputs;
  std::vector<Dtype> accumulators;
  void (*product)(const UnitProduct&);
};

// The format that a unit sees for a product of `stored` operands: tf32 where f32 operands are rounded to it.
Dtype unit_input(const Arithmetic& arithmetic, Dtype stored);

// Returns the unit that `arithmetic` names.
// Throws: kNotFound if there is none of that name, kDtype if it does not take operands of format `input` or
// does
//         not accumulate in the format asked for, kArgument if split_k < 1; each with what exists.
const Unit& check_unit(const Arithmetic& arithmetic, Dtype input, const std::string& op_name);

}  // namespace faultline
