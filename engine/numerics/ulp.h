#pragma once

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <type_traits>

#include "engine/numerics/dtype.h"

namespace faultline {

// Returns the bit pattern of `value`, which is one of the format's values: size_bytes(dtype) bytes, tf32 as
// f32. Throws kArgument if the format does not have the value.
uint64_t bits_of(double value, Dtype dtype);

// Returns the value that a bit pattern of the format stands for; tf32 ignores its low 13 bits.
double value_of(uint64_t bits, Dtype dtype);

// Returns how many steps of the format's values lie between a and b, which are values of that format.
// 0 between -0 and +0, and between two NaNs; INT64_MAX between a NaN and a number, or where the count is
// larger.
int64_t ulp_distance(double a, double b, Dtype dtype);

// A tf32 is stored as an f32 whose low bits do not count.
inline constexpr int kTf32CutBits = 13;

// The bit pattern of a value as it is stored.
template <class T>
inline uint64_t stored_bits(T value) {
  if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<uint64_t>(value);
  else if constexpr (sizeof(T) == 4)
    return std::bit_cast<uint32_t>(value);
  else
    return value.bits;
}

// ulp_distance() of two values as they are stored, for loops over many.
template <class T>
inline int64_t stored_ulp_distance(T a, T b, Dtype dtype) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if constexpr (std::is_integral_v<T>) return std::abs(int64_t{a} - int64_t{b});
  const double x = widen(a), y = widen(b);
  if (x != x || y != y) return x != x && y != y ? 0 : kMost;
  constexpr uint64_t kSign = uint64_t{1} << (8 * sizeof(T) - 1);
  // The values in order, -0 and +0 at 0, the next one at 1.
  const auto position = [cut = dtype == Dtype::kTf32 ? kTf32CutBits : 0](T value) {
    const uint64_t bits = stored_bits(value);
    const int64_t magnitude = static_cast<int64_t>((bits & (kSign - 1)) >> cut);
    return bits & kSign ? -magnitude : magnitude;
  };
  int64_t distance;
  const bool overflows = __builtin_sub_overflow(position(a), position(b), &distance);
  return overflows || distance == std::numeric_limits<int64_t>::min() ? kMost : std::abs(distance);
}

// Returns the neighbour of `value` away from zero; of the largest finite value the one toward zero, of +-0
// the smallest subnormal of that sign. Throws kArgument for an infinity or a NaN.
float one_ulp(float value);

// The fields of a bit pattern, for printing. Of an integer everything is fraction.
struct BitFields {
  uint64_t sign, exponent, fraction;
};
BitFields bit_fields(uint64_t bits, Dtype dtype);

// Returns the pattern in lower-case hex, two digits a byte, without prefix: "3f80" for 1 in bf16.
std::string bits_hex(uint64_t bits, Dtype dtype);

// Returns the pattern in binary, sign, exponent and fraction apart: "0 01111111 0000000" for 1 in bf16.
std::string bits_binary(uint64_t bits, Dtype dtype);

}  // namespace faultline
