#pragma once

#include <cstdint>

#include "engine/mma/fused_dot.h"
#include "engine/mma/windows.h"

namespace faultline {

// Writes c [M, N] = a [M, K] times b [K, N], each element a chain of fused steps from +0, on vectors.
// Formats:     a, b of rule.input and c of rule.accumulate, widened exactly to f32; row-major and dense.
// Accumulates: as fused_dot does, to which every element is equal in every bit.
// Bitwise:     runs yes, threads yes, instruction sets yes.
void fused_dot_product(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                       float* c);

// The same where b is read from an image.
void fused_dot_windows(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a,
                       const Windows& b, float* c);

// How many steps of one element this process has taken in vectors, and how many of them it gave to the plain
// model, because an exponent was out of the range in which f32 holds the products, or not finite.
struct FusedDotCounts {
  int64_t steps = 0, slow_steps = 0;
};
FusedDotCounts fused_dot_counts();

}  // namespace faultline
