#pragma once

#include "engine/mma/fused_dot.h"

namespace faultline {

// fp8 by mma.sync m16n8k32 where the chip has no such instruction, as Hopper has none: its machine code widens the
// operands to f16, takes two steps of 16 from +0, first the terms with k % 4 in {0, 1} and then those with k % 4 in
// {2, 3}, and adds C last, by an ordinary addition.
//
// Returns the chain of such instructions over k terms in rising order, the last one filled with zeros.
// Formats:     a, b of e4m3 or e5m2 and c of f16.accumulate, widened exactly to f32; so is the result.
// Accumulates: the steps by the rule `f16`; additions in f16.accumulate, nearest even.
// Bitwise:     the plain form of the definition. NaNs are 7fffffff (f32) and 7fff (f16, widened).
// Source:      machine code of ptxas 13.0 for sm_90; captures of an H200.
float fp8_on_f16_dot(const StepRule& f16, const float* a, const float* b, int64_t k, float c);

// Writes c [M, N] = a [M, K] times b [K, N], each element such a chain from +0, on vectors.
// Bitwise:     as fp8_on_f16_dot.
void fp8_on_f16_product(const StepRule& f16, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                        float* c);

}  // namespace faultline
