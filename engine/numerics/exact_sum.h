#pragma once

#include <array>
#include <cstdint>

#include "engine/numerics/dtype.h"

namespace faultline {

// A superaccumulator: the exact sum of f64 values and of products of two, in a fixed-point number that spans
// them all (2^-2148 to 2^2112), rounded once when asked. The truth that other orders are measured against
// (numerics.md 4). Infinities and NaNs add as in IEEE 754. A sum of zeros of either sign is +0.
// Bitwise:     independent of the order of the calls.
// Source:      Kulisch and Miranker 1986; the carry-saving words as in Neal 2015.
class ExactSum {
 public:
  void add(double value) { add_product(value, 1.0); }
  void add_product(double a, double b);  // Exact: neither rounded nor limited to the range of f64.

  // Returns the sum rounded once to nearest even into the format, subnormals and overflow as the format has
  // them. Throws kDtype for an integer format.
  double round(Dtype dtype) const;
  double round_f64() const { return round(Dtype::kF64); }

  // True if an infinity or a NaN was added: the sum is special().
  bool is_special() const { return special_ != 0; }

 private:
  static constexpr int kLowest = -2148;  // The weight of bit 0: the smallest subnormal squared.
  static constexpr int kWords = 134;     // Of 32 bits, held in 64 with their sign until carried.

  using Words = std::array<int64_t, kWords>;
  static void carry(Words& words);

  Words words_{};
  double special_ = 0;
  int additions_ = 0;  // Since the last carry.
};

}  // namespace faultline
