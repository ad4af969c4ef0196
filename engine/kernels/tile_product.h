#pragma once

#include <functional>

#include "engine/kernels/product.h"
#include "engine/mma/k_plan.h"
#include "engine/mma/unit.h"

namespace faultline {

// Computes a product of bf16 by the plan on a unit that packs its operands itself. finish takes the sums of rows
// [m, m_end) and columns [n, n_end), `stride` apart.
using FinishTile =
    std::function<void(int64_t m, int64_t m_end, int64_t n, int64_t n_end, float* sums, int64_t stride)>;
void tile_product(const ProductArgs& args, const UnitTiles& tiles, const KPlan& plan,
                  const FinishTile& finish);

}  // namespace faultline
