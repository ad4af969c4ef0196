#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/replay.h"

namespace faultline::harness {

// How many products a window shows: a multiple of every chip's step in 16-bit formats and tf32.
inline constexpr int64_t kDotWindow = 16;

// One element of a product as one unit gives it.
struct UnitResult {
  std::string unit;
  double value = 0;
  std::string bits;   // hexadecimal, as stored
  std::string order;  // how the unit adds, in a phrase
};

// What one step of a fused-dot unit does to its terms; powers of two as exponents.
struct DotStep {
  int64_t first = 0;  // k of its first product
  int exponent = 0;   // the largest of the terms'
  int quantum = 0;    // terms are kept as multiples of 2^quantum
  bool special = false;
  double accumulator = 0, accumulator_kept = 0;
  std::vector<double> products, kept;
  double sum = 0, result = 0;
};

// What a unit does in a few consecutive products, from one accumulator.
struct UnitWindow {
  std::string unit;
  std::vector<DotStep> steps;  // none: not a unit of fused steps
  double result = 0;           // the accumulator afterwards
};

// One output element of a product, made alone from its operands.
struct DotDetail {
  int64_t k = 0;
  std::string format, accumulator;  // of operands and of the sum
  std::vector<UnitResult> units;    // the sides' own first; only those that take the format
  double exact = 0;                 // the sum and its bias, rounded once to f64

  // The first products after which the chains of the two sides differ; none where one of them is no chain.
  int64_t window_first = 0;
  double window_start = 0;  // the accumulator of both before them
  std::vector<UnitWindow> window;
};

// Returns how the units make one output element from the recorded operands; none where it is no product.
// The sides are two calls of one op with equal inputs, perhaps under other arithmetic.
std::optional<DotDetail> dot_detail(const Recorded& a, const Recorded& b, size_t output, int64_t element);

}  // namespace faultline::harness
