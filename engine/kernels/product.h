#pragma once

#include <cstdint>

#include "engine/base/result_pieces.h"
#include "engine/mma/arithmetic.h"

namespace faultline {

// A matrix in memory, its strides in elements: any transpose is a pair of strides.
struct Operand {
  const void* data;
  Dtype dtype;
  int64_t row_stride, col_stride;
};

struct ProductArgs {
  int64_t M, N, K;
  Operand a;                      // [M, K]
  Operand b;                      // [K, N]
  const float* bias_n = nullptr;  // [N], added in f32 to the finished sum
  const float* bias_m = nullptr;  // [M], likewise
  void* out = nullptr;            // [M, N], rows contiguous
  Dtype out_dtype = Dtype::kF32;
  int64_t out_row_stride = 0;
  ResultPieces* pieces = nullptr;  // who looks at those of the result that has `out` from this element on
  int64_t first_element = 0;
  int64_t k_per_leaf = 0;     // as in plan_k
  bool gradient_sum = false;  // as in plan_k
  Arithmetic arithmetic = {};
};

// Writes the product of two matrices on the unit that the arithmetic names.
// Shapes:      a [M, K], b [K, N] -> out [M, N]; any of them 0.
// Formats:     f32, f16, bf16 (a and b the same; f32 is rounded to tf32 first if asked for) -> the same.
// Accumulates: as plan_k(K, k_per_leaf, gradient_sum, arithmetic) says, from +0; one rounding to out_dtype.
// Error:       |got - exact| <= gamma(K) * sum|a||b| before the rounding to out_dtype (fma, f32).
// Bitwise:     runs yes, threads yes, instruction sets yes (unit fma).
// Throws:      kDtype, kNotFound or kArgument, as check_unit.
// Source:      numerics.md 2.1, 2.3, 3, 4.
void product(const char* op_name, const ProductArgs& args);

}  // namespace faultline
