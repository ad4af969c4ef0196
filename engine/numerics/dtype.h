#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace faultline {

// The formats (numerics.md 1). tf32 is a compute format: tensors of it are f32 whose low 13 bits a unit does
// not read. e4m3 and e5m2 (fp8) are operands of matrix units alone.
enum class Dtype : uint8_t { kF16, kBf16, kTf32, kF32, kF64, kI32, kE4m3, kE5m2 };

// One row of the dtype table: everything that the rest of the code derives from a format.
struct DtypeInfo {
  Dtype dtype;
  const char* name;
  int size_bytes;
  int exponent_bits;  // 0 for integers
  int fraction_bits;
  bool storable;         // tensors may hold it
  bool infinite = true;  // has infinities; else only the pattern of all ones is special, a NaN
};

const DtypeInfo& info(Dtype dtype);
const std::vector<DtypeInfo>& dtype_table();
Dtype dtype_from_name(const std::string& name);  // Throws kNotFound with what exists.
inline const char* name(Dtype dtype) { return info(dtype).name; }
inline int size_bytes(Dtype dtype) { return info(dtype).size_bytes; }
inline bool is_float(Dtype dtype) { return info(dtype).exponent_bits > 0; }

// The smallest stored format that holds every value of both: f32 for f16 with bf16.
Dtype widest(Dtype a, Dtype b);

// Half the distance between 1 and the next value: the largest relative error of one rounding to nearest.
inline double unit_roundoff(Dtype dtype) { return std::ldexp(1.0, -info(dtype).fraction_bits - 1); }

// The largest finite value, and the exponent of the smallest normal one.
double largest_finite(Dtype dtype);
inline int smallest_exponent(Dtype dtype) { return 2 - (1 << (info(dtype).exponent_bits - 1)); }

// 16-bit and 8-bit formats as stored. No arithmetic: widen, compute, round.
struct F16 {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};
struct E4m3 {
  uint8_t bits;
};
struct E5m2 {
  uint8_t bits;
};

// Widening is exact; a NaN stays a NaN.
float to_f32(F16 value);
float to_f32(E4m3 value);
inline float to_f32(E5m2 value) { return to_f32(F16{static_cast<uint16_t>(value.bits << 8)}); }
inline float to_f32(Bf16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }
inline float to_f32(float value) { return value; }

// Rounds to nearest even, once. f16: 65520 and above becomes infinity, subnormals are kept. A NaN becomes the
// quiet NaN with the same sign and the top payload bits.
F16 f16_from_f32(float value);
F16 f16_from_f64(double value);  // One rounding, not through f32.
Bf16 bf16_from_f32(float value);
Bf16 bf16_from_f64(double value);
E4m3 e4m3_from_f64(double value);  // Beyond 464 a NaN: the format has no infinity (OCP OFP8 1.0, 5.2.1).
E5m2 e5m2_from_f64(double value);

// bf16 rounded up with the probability of the cut fraction: `random` is uniform in 0 .. 65535.
Bf16 bf16_stochastic(float value, uint16_t random);

// How an f32 operand becomes tf32 (tensor_core_numerics.md 5).
enum class Tf32Rounding : uint8_t { kRna, kRne, kTruncate };
float tf32_from_f32(float value, Tf32Rounding rounding);
Tf32Rounding tf32_rounding_from_name(const std::string& name);
const char* name(Tf32Rounding rounding);

// Rounds an f64 once into `dtype` and widens it again: what a value of that format can hold.
double round_to(double value, Dtype dtype);

// Calls body.template operator()<T>() with T = F16, Bf16, E4m3, E5m2, float, double or int32_t: the one
// switch over dtypes. tf32 visits float.
template <class Body>
auto visit(Dtype dtype, Body&& body) {
  switch (dtype) {
    case Dtype::kF16:
      return body.template operator()<F16>();
    case Dtype::kBf16:
      return body.template operator()<Bf16>();
    case Dtype::kE4m3:
      return body.template operator()<E4m3>();
    case Dtype::kE5m2:
      return body.template operator()<E5m2>();
    case Dtype::kF64:
      return body.template operator()<double>();
    case Dtype::kI32:
      return body.template operator()<int32_t>();
    case Dtype::kTf32:
    case Dtype::kF32:
      break;
  }
  return body.template operator()<float>();
}

// Dtype of a C++ type, and load/store through a wider compute type T (float or double).
template <class T>
constexpr Dtype dtype_of();
template <>
constexpr Dtype dtype_of<F16>() {
  return Dtype::kF16;
}
template <>
constexpr Dtype dtype_of<Bf16>() {
  return Dtype::kBf16;
}
template <>
constexpr Dtype dtype_of<E4m3>() {
  return Dtype::kE4m3;
}
template <>
constexpr Dtype dtype_of<E5m2>() {
  return Dtype::kE5m2;
}
template <>
constexpr Dtype dtype_of<float>() {
  return Dtype::kF32;
}
template <>
constexpr Dtype dtype_of<double>() {
  return Dtype::kF64;
}
template <>
constexpr Dtype dtype_of<int32_t>() {
  return Dtype::kI32;
}

inline double widen(F16 v) { return to_f32(v); }
inline double widen(Bf16 v) { return to_f32(v); }
inline double widen(E4m3 v) { return to_f32(v); }
inline double widen(E5m2 v) { return to_f32(v); }
inline double widen(float v) { return v; }
inline double widen(double v) { return v; }
inline double widen(int32_t v) { return v; }

// Returns the value rounded once (nearest even) to the stored type To.
template <class To>
To narrow(double value) {
  if constexpr (std::is_same_v<To, F16>)
    return f16_from_f64(value);
  else if constexpr (std::is_same_v<To, Bf16>)
    return bf16_from_f64(value);
  else if constexpr (std::is_same_v<To, E4m3>)
    return e4m3_from_f64(value);
  else if constexpr (std::is_same_v<To, E5m2>)
    return e5m2_from_f64(value);
  else
    return static_cast<To>(value);
}

}  // namespace faultline
