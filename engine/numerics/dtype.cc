#include "engine/numerics/dtype.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "engine/base/error.h"
#include "engine/base/text.h"

namespace faultline {
namespace {

// The table. A format is added here and in visit().
constexpr DtypeInfo kTable[] = {
    {Dtype::kF16, "f16", 2, 5, 10, true},          {Dtype::kBf16, "bf16", 2, 8, 7, true},
    {Dtype::kTf32, "tf32", 4, 8, 10, false},       {Dtype::kF32, "f32", 4, 8, 23, true},
    {Dtype::kF64, "f64", 8, 11, 52, true},         {Dtype::kI32, "i32", 4, 0, 0, true},
    {Dtype::kE4m3, "e4m3", 1, 4, 3, false, false}, {Dtype::kE5m2, "e5m2", 1, 5, 2, false},
};

}  // namespace

const std::vector<DtypeInfo>& dtype_table() {
  static const std::vector<DtypeInfo> table(std::begin(kTable), std::end(kTable));
  return table;
}

const DtypeInfo& info(Dtype dtype) { return kTable[static_cast<size_t>(dtype)]; }

Dtype dtype_from_name(const std::string& text) {
  std::vector<std::string> known;
  for (const DtypeInfo& row : kTable) {
    if (text == row.name) return row.dtype;
    known.push_back(row.name);
  }
  throw Error(ErrorCode::kNotFound, "dtype",
              "unknown format '" + text + "' (known: " + join(known, ", ") + ")");
}

Dtype widest(Dtype a, Dtype b) {
  const int exponent_bits = std::max(info(a).exponent_bits, info(b).exponent_bits);
  const int fraction_bits = std::max(info(a).fraction_bits, info(b).fraction_bits);
  const auto row = std::find_if(std::begin(kTable), std::end(kTable), [&](const DtypeInfo& format) {
    return format.storable && format.exponent_bits >= exponent_bits && format.fraction_bits >= fraction_bits;
  });
  return row->dtype;  // The table lists formats from the narrowest to f64.
}

double largest_finite(Dtype dtype) {
  const DtypeInfo& format = info(dtype);
  const int bias = 1 - smallest_exponent(dtype);
  if (!format.infinite) return std::ldexp(2 - std::ldexp(2.0, -format.fraction_bits), bias + 1);
  return std::ldexp(2 - std::ldexp(1.0, -format.fraction_bits), bias);
}

float to_f32(F16 value) {
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t exponent = value.bits >> 10 & 31, fraction = value.bits & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

F16 f16_from_f32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  uint32_t result;
  if (magnitude > 0x7f800000) {
    result = 0x7e00 | (magnitude >> 13 & 0x3ff);
  } else if (magnitude >= 0x477ff000) {  // 65520
    result = 0x7c00;
  } else if (magnitude <
             0x38800000) {  // Subnormal: the sum is 0.5 and whole steps of 2^-24, rounded by the addition.
    result = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;
  } else {  // 112 is the difference of the biases.
    result = (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
  }
  return {static_cast<uint16_t>(sign | result)};
}

// The exponent field of f16 is one bit longer and its bias larger by 8.
float to_f32(E4m3 value) {
  const uint32_t sign = uint32_t{value.bits & 0x80u} << 24, magnitude = value.bits & 0x7fu;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  const float unsigned_value = to_f32(F16{static_cast<uint16_t>(magnitude << 7)}) * 256;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(unsigned_value));
}

// round_to rounds once; what follows is exact.
F16 f16_from_f64(double value) { return f16_from_f32(static_cast<float>(round_to(value, Dtype::kF16))); }
Bf16 bf16_from_f64(double value) { return bf16_from_f32(static_cast<float>(round_to(value, Dtype::kBf16))); }
E4m3 e4m3_from_f64(double value) {
  const double rounded = round_to(value, Dtype::kE4m3);
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(rounded)) return {static_cast<uint8_t>(sign | 0x7f)};
  return {static_cast<uint8_t>(sign | f16_from_f64(std::fabs(rounded) / 256).bits >> 7)};
}
E5m2 e5m2_from_f64(double value) {
  return {static_cast<uint8_t>(f16_from_f64(round_to(value, Dtype::kE5m2)).bits >> 8)};
}

Bf16 bf16_from_f32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

Bf16 bf16_stochastic(float value, uint16_t random) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bf16_from_f32(value);
  return {static_cast<uint16_t>((bits + random) >> 16)};
}

float tf32_from_f32(float value, Tf32Rounding rounding) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7f800000u) != 0x7f800000u) {
    if (rounding == Tf32Rounding::kRna) bits += 0x1000;
    if (rounding == Tf32Rounding::kRne) bits += 0xfff + (bits >> 13 & 1);
  } else if (std::isnan(value) && rounding != Tf32Rounding::kTruncate) {
    bits |= 0x00400000u;
  }
  return std::bit_cast<float>(bits & ~0x1fffu);
}

Tf32Rounding tf32_rounding_from_name(const std::string& text) {
  for (Tf32Rounding rounding : {Tf32Rounding::kRna, Tf32Rounding::kRne, Tf32Rounding::kTruncate}) {
    if (text == name(rounding)) return rounding;
  }
  throw Error(ErrorCode::kNotFound, "tf32 rounding",
              "unknown rounding '" + text + "' (known: rna, rne, truncate)");
}

const char* name(Tf32Rounding rounding) {
  return rounding == Tf32Rounding::kRna ? "rna" : rounding == Tf32Rounding::kRne ? "rne" : "truncate";
}

double round_to(double value, Dtype dtype) {
  const DtypeInfo& format = info(dtype);
  if (!is_float(dtype) || dtype == Dtype::kF64 || std::isnan(value)) return value;
  const int field = static_cast<int>(std::bit_cast<uint64_t>(value) >> 52 & 0x7ff);
  const int exponent = std::max(field - 1023, smallest_exponent(dtype));
  const double beyond = format.infinite ? std::numeric_limits<double>::infinity() : std::nan("");
  const double limit = largest_finite(dtype);
  if (std::fabs(value) > 2 * limit) return std::copysign(beyond, value);
  // Beside 2^52 units in the format's last place an f64 has no room for a fraction of one.
  const int shift = exponent - format.fraction_bits + 52;
  const double large = std::bit_cast<double>(static_cast<uint64_t>(shift + 1023) << 52);
  const double magnitude = std::fabs(value) + large - large;
  return std::copysign(magnitude > limit ? beyond : magnitude, value);
}

}  // namespace faultline
