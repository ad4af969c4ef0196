#pragma once

#include "engine/kernels/correlation.h"
#include "engine/mma/k_plan.h"

namespace faultline {

// Computes a correlation by the plan on a unit that takes products of f32 arrays.
void correlate_on_unit(const char* kernel, const Correlation& correlation, const Unit& unit, Dtype input,
                       const KPlan& plan, const KFormats& formats);

}  // namespace faultline
