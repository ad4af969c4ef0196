#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/numerics/dtype.h"

namespace faultline {

// How one step of a matrix unit turns products and an accumulator into the next accumulator
// (tensor_core_numerics.md 1). Every term is cut to a multiple of 2^(E - kept_bits), E the largest exponent
// of the step; the terms are then added exactly and converted once.
struct StepRule {
  Dtype input;
  Dtype accumulate;
  int terms;                 // L: products of one step, at most kMostTerms
  int kept_bits;             // F
  int floor;                 // E never falls below it
  int result_fraction = 23;  // f32: fraction bits that the conversion keeps

  bool operator==(const StepRule&) const = default;
};
inline constexpr int kMostTerms = 32;

// What one step does, for explanations. All values are exact.
struct StepTrace {
  struct Term {
    double exact, kept;
  };
  bool special = false;             // an infinity or a NaN decided: only `result` is set
  int exponent = 0;                 // E
  int quantum = 0;                  // terms are kept as multiples of 2^quantum
  Term accumulator = {};            // c
  std::vector<Term> products = {};  // a[k] * b[k]
  double sum = 0;                   // of what is kept
  float result = 0;                 // sum, converted
};

// Returns the accumulator after one step over `terms` products (rule.terms or fewer).
// Formats:     a, b of rule.input and c of rule.accumulate, widened exactly to f32; so is the result.
// Accumulates: exactly, then once: f32 toward zero, f16 to nearest even.
// Bitwise:     the plain form of the definition. NaNs are 7fffffff (f32) and 7fff (f16, widened).
// Source:      tensor_core_numerics.md 1, 3, 4.
float fused_dot_step(const StepRule& rule, const float* a, const float* b, int64_t terms, float c,
                     StepTrace* trace = nullptr);

// Returns the chain of steps over k terms in rising order; with k = 0, c.
float fused_dot(const StepRule& rule, const float* a, const float* b, int64_t k, float c);

// Returns what each step of fused_dot does; the last one's result is fused_dot's.
std::vector<StepTrace> trace_fused_dot(const StepRule& rule, const float* a, const float* b, int64_t k,
                                       float c);

// Returns the rule in words: "steps of 16 products, 25 bits kept below the largest exponent, cut toward
// zero".
std::string phrase(const StepRule& rule);

}  // namespace faultline
