#pragma once

#include <cstdint>
#include <string>

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
