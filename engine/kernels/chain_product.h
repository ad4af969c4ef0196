#pragma once

#include "engine/kernels/packing.h"
#include "engine/kernels/product.h"
#include "engine/mma/k_plan.h"

namespace faultline {

// The product of unit fma: args with its operands widened, on register blocks of chains, as the plan says.
void chain_product(const ProductArgs& args, const F32Matrix& a, const F32Matrix& b, const KPlan& plan);

// Adds the biases to the finished sums of rows [m, m_end) and columns [n, n_end), which lie `stride` apart, and
// rounds them into the output. They may lie there already.
void finish_product(const ProductArgs& args, int64_t m, int64_t m_end, int64_t n, int64_t n_end, float* sums,
                    int64_t stride);

}  // namespace faultline
