#include "engine/numerics/ulp.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/error.h"

namespace faultline {
namespace {

uint64_t low_bits(int count) { return (uint64_t{1} << count) - 1; }

template <class T>
double stored_value(uint64_t bits) {
  if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<double>(bits);
  else if constexpr (sizeof(T) == 4)
    return std::bit_cast<T>(static_cast<uint32_t>(bits));
  else
    return widen(T{static_cast<decltype(T::bits)>(bits)});
}

bool is_value(double value, Dtype dtype) {
  if (!is_float(dtype)) return std::trunc(value) == value && value >= -0x1p31 && value < 0x1p31;
  if (std::isnan(value)) return true;
  if (dtype == Dtype::kTf32) return round_to(value, dtype) == value;
  return visit(dtype, [&]<class T>() { return static_cast<double>(widen(narrow<T>(value))) == value; });
}

void check_value(double value, Dtype dtype) {
  if (is_value(value, dtype)) return;
  throw Error(ErrorCode::kArgument, "bits",
              std::to_string(value) + " (f64 " + bits_hex(std::bit_cast<uint64_t>(value), Dtype::kF64) +
                  ") is not a value of " + name(dtype));
}

std::string binary(uint64_t bits, int count) {
  std::string text;
  for (int i = count - 1; i >= 0; --i) text += bits >> i & 1 ? '1' : '0';
  return text;
}

}  // namespace

uint64_t bits_of(double value, Dtype dtype) {
  check_value(value, dtype);
  return visit(dtype, [&]<class T>() { return stored_bits(narrow<T>(value)); });
}

double value_of(uint64_t bits, Dtype dtype) {
  if (dtype == Dtype::kTf32) bits &= ~low_bits(kTf32CutBits);
  return visit(dtype, [&]<class T>() { return stored_value<T>(bits); });
}

int64_t ulp_distance(double a, double b, Dtype dtype) {
  check_value(a, dtype);
  check_value(b, dtype);
  return visit(dtype, [&]<class T>() { return stored_ulp_distance(narrow<T>(a), narrow<T>(b), dtype); });
}

float one_ulp(float value) {
  if (!std::isfinite(value)) {
    throw Error(ErrorCode::kArgument, "one ulp",
                "an infinity or a NaN has no neighbour, got " + std::to_string(value));
  }
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const bool largest = std::fabs(value) == std::numeric_limits<float>::max();
  return std::bit_cast<float>(largest ? bits - 1 : bits + 1);
}

BitFields bit_fields(uint64_t bits, Dtype dtype) {
  const int width = 8 * size_bytes(dtype), exponent_bits = info(dtype).exponent_bits;
  if (exponent_bits == 0) return {0, 0, bits};
  const int fraction_bits = width - 1 - exponent_bits;  // As stored: tf32 has the 23 of f32.
  return {bits >> (width - 1) & 1, bits >> fraction_bits & low_bits(exponent_bits),
          bits & low_bits(fraction_bits)};
}

std::string bits_hex(uint64_t bits, Dtype dtype) {
  std::string text;
  for (int i = 2 * size_bytes(dtype) - 1; i >= 0; --i) text += "0123456789abcdef"[bits >> (4 * i) & 15];
  return text;
}

std::string bits_binary(uint64_t bits, Dtype dtype) {
  const int width = 8 * size_bytes(dtype), exponent_bits = info(dtype).exponent_bits;
  if (exponent_bits == 0) return binary(bits, width);
  const BitFields fields = bit_fields(bits, dtype);
  return binary(fields.sign, 1) + " " + binary(fields.exponent, exponent_bits) + " " +
         binary(fields.fraction, width - 1 - exponent_bits);
}

}  // namespace faultline
