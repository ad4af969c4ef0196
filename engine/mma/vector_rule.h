#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/mma/fused_dot.h"

namespace faultline {

// Exponents of operands and products in 16 bits: one operand's is biased as in f32 and the other's is not, so
// that sums compare with the accumulator's field. A zero is below every exponent and an infinity or a NaN
// above, whatever is added.
inline constexpr int kBias = 127, kZero = -8192, kSpecial = 16383, kNone = -16384;
// Between the sums with a zero and the smallest other one.
inline constexpr int kAnyZero = -4096;

// A rule as vectors use it. Exponents E from `lowest` to `highest` are in range: then every product that f32
// does not hold exactly lies below the quantum 2^(E - kept_bits), and results are normal.
struct VectorRule {
  explicit VectorRule(const StepRule& rule)
      : rule(rule),
        lowest(std::max(rule.floor, rule.kept_bits - 123) + kBias),
        start(rule.floor + kBias == lowest ? lowest : kNone),
        operand_field(smallest_exponent(rule.input) + kBias),
        accumulator_field(smallest_exponent(rule.accumulate) + kBias),
        largest_sum(INT32_MAX - (2 << rule.kept_bits)),
        keep(~((1u << (23 - rule.result_fraction)) - 1)) {}
  StepRule rule;
  int lowest, highest = 100 + kBias;
  int start;                             // of the search for the largest exponent, where it is checked
  int operand_field, accumulator_field;  // of the smallest normal value
  int largest_sum;  // of aligned products, to which the accumulator can be added in int32
  uint32_t keep;    // of the fraction of a result
};

// The biased exponents of the operands of one side that are not zero.
struct ExponentRange {
  int smallest = kSpecial, largest = kNone;
  bool finite() const { return largest < kSpecial; }
};

// Whether no chain of k products of these operands leaves the range of f32.
inline bool in_range(const VectorRule& rule, int64_t k, const ExponentRange& a, const ExponentRange& b) {
  return k < 1 << 24 && a.finite() && b.finite() && a.smallest + b.smallest - kBias >= rule.lowest &&
         a.largest + b.largest - kBias <= rule.highest;
}

}  // namespace faultline
