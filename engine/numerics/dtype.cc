#include "engine/numerics/dtype.h"

#include "engine/base/error.h"
#include "engine/base/text.h"

namespace faultline {
namespace {

// The table. A format is added here and in visit().
const std::vector<DtypeInfo> kTable = {
    {Dtype::kF16, "f16", 2, 5, 10, true},    {Dtype::kBf16, "bf16", 2, 8, 7, true},
    {Dtype::kTf32, "tf32", 4, 8, 10, false}, {Dtype::kF32, "f32", 4, 8, 23, true},
    {Dtype::kF64, "f64", 8, 11, 52, true},   {Dtype::kI32, "i32", 4, 0, 0, true},
};

// Rounds the finite, positive `magnitude` to nearest even with `fraction_bits` and smallest normal exponent
// `emin`. Exact in f64: the quantum is a power of two and the quotient has at most 53 bits.
double round_magnitude(double magnitude, int fraction_bits, int emin) {
  if (magnitude == 0) return 0;
  const int exponent = std::max(std::ilogb(magnitude), emin);
  const int quantum = exponent - fraction_bits;
  return std::ldexp(std::nearbyint(std::ldexp(magnitude, -quantum)), quantum);
}

// Encodes a value that fits the format exactly, or is too large for it, as sign, exponent and fraction
// fields.
uint16_t encode16(double value, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1, emin = 1 - bias;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const uint16_t infinity = static_cast<uint16_t>(((1 << exponent_bits) - 1) << fraction_bits);
  if (std::isnan(value)) {
    const uint64_t payload =
        std::bit_cast<uint64_t>(value) >> (52 - fraction_bits) & ((1u << fraction_bits) - 1);
    return static_cast<uint16_t>(sign | infinity | (1u << (fraction_bits - 1)) | payload);
  }
  const double magnitude = std::isinf(value) ? value : round_magnitude(std::fabs(value), fraction_bits, emin);
  if (std::isinf(value) || magnitude >= std::ldexp(1.0, bias + 1)) return sign | infinity;
  if (magnitude < std::ldexp(1.0, emin)) {
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::ldexp(magnitude, fraction_bits - emin)));
  }
  const int exponent = std::ilogb(magnitude);
  const int fraction =
      static_cast<int>(std::ldexp(magnitude, fraction_bits - exponent)) - (1 << fraction_bits);
  return static_cast<uint16_t>(sign | ((exponent + bias) << fraction_bits) | fraction);
}

}  // namespace

const std::vector<DtypeInfo>& dtype_table() { return kTable; }

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

F16 f16_from_f32(float value) { return f16_from_f64(value); }
F16 f16_from_f64(double value) { return {encode16(value, 5, 10)}; }
Bf16 bf16_from_f64(double value) { return {encode16(value, 8, 7)}; }

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
  switch (dtype) {
    case Dtype::kF16:
      return to_f32(f16_from_f64(value));
    case Dtype::kBf16:
      return to_f32(bf16_from_f64(value));
    case Dtype::kTf32:
      return tf32_from_f32(static_cast<float>(value), Tf32Rounding::kRne);
    case Dtype::kF32:
      return static_cast<float>(value);
    case Dtype::kF64:
    case Dtype::kI32:
      break;
  }
  return value;
}

}  // namespace faultline
