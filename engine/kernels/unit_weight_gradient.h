#pragma once

#include "engine/kernels/weight_gradient.h"
#include "engine/mma/k_plan.h"

namespace faultline {

// Computes a weight gradient by the plan on a unit that takes products of f32 arrays.
void weight_gradient_on_unit(const WeightGradient& gradient, const Unit& unit, Dtype input, const KPlan& plan,
                             const KFormats& formats);

}  // namespace faultline
