#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/mma/fused_dot.h"

namespace faultline {

// Exponents of operands where they are checked: one operand's is biased as in f32 and the other's is not, so that
// sums compare with the accumulator's field. A zero is below every exponent and an infinity or a NaN above,
// whatever is added.
inline constexpr int kBias = 127, kZero = -8192, kSpecial = 16383, kNone = -16384;
// Between the sums with a zero and the smallest other one.
inline constexpr int kAnyZero = -4096;

// A rule as vectors use it. Exponents E from `smallest_exact` to `highest` are in range: then every product that
// f32 does not hold exactly lies below the quantum 2^(E - kept_bits), and results are normal.
struct VectorRule {
  explicit VectorRule(const StepRule& rule)
      : rule(rule),
        smallest_exact(rule.kept_bits - 123 + kBias),
        lowest(std::max(rule.floor + kBias, smallest_exact)),
        start(rule.floor + kBias == lowest ? lowest : kNone),
        operand_field(smallest_exponent(rule.input) + kBias),
        accumulator_field(smallest_exponent(rule.accumulate) + kBias),
        largest_sum(INT32_MAX - (2 << rule.kept_bits)),
        sum_may_overflow(int64_t{rule.terms} << (rule.kept_bits + 2) > largest_sum),
        keep(~((1u << (23 - rule.result_fraction)) - 1)) {}
  StepRule rule;
  int smallest_exact, lowest, highest = 100 + kBias;
  int start;                             // of the search for the largest exponent, where it is checked
  int operand_field, accumulator_field;  // of the smallest normal value
  int largest_sum;  // of aligned products, to which the accumulator can be added in int32
  bool sum_may_overflow;
  uint32_t keep;  // of the fraction of a result
};

// The biased exponents of the operands of one side that are not zero.
struct ExponentRange {
  int smallest = kBias, largest = kBias;
  bool plain = true;  // none is an infinity, a NaN or a subnormal of f32
  int width() const { return largest - smallest; }
};

// Whether no chain of k products of these operands leaves the range of f32, and a zero in b, whose exponent is
// written as 0 where those of a start at 0, cannot have the largest sum.
inline bool in_range(const VectorRule& rule, int64_t k, const ExponentRange& a, const ExponentRange& b) {
  const int smallest = a.smallest + b.smallest - kBias, largest = a.largest + b.largest - kBias;
  return k < 1 << 24 && a.plain && b.plain && smallest >= std::max(rule.smallest_exact, a.width()) &&
         largest <= rule.highest;
}

}  // namespace faultline
