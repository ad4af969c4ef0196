// The plain models: one output element, as the specification says it.
#include "engine/mma/intel_bf16.h"

#include <algorithm>
#include <cmath>

#include "engine/base/cpu.h"
#include "engine/mma/unit_tiles.h"

namespace faultline {
namespace {

constexpr float kSmallestNormal = 0x1p-126f;

float flushed(float x) { return std::fabs(x) < kSmallestNormal ? std::copysign(0.0f, x) : x; }

// A sum of two f32 below the normal range is exact, so that rounding cannot lift it out.
float add(float x, float y) { return flushed(flushed(x) + flushed(y)); }

// Below 2^-126 an f32 has fewer than 24 bits, so a result just beneath it may round up to it and yet be tiny:
// 2^64 times the operands shows it with all its bits. If the scaling overflows, the sum was an exact zero.
float fma(float a, float b, float c) {
  a = flushed(a), b = flushed(b), c = flushed(c);
  const float sum = std::fma(a, b, c);
  if (!(std::fabs(sum) <= kSmallestNormal)) return sum;
  const float scaled = std::fma(a * 0x1p64f, b, c * 0x1p64f);
  return std::fabs(scaled) < kSmallestNormal * 0x1p64f ? std::copysign(0.0f, sum) : sum;
}

constexpr int64_t kTileDepth = 32;

using Dot = float (*)(const float* a, const float* b, int64_t k, float c);
using Product = void (*)(const UnitProduct&);

Unit row(const std::string& instruction, const std::string& order, Dot dot, bool here, Product hardware,
         Product model, const UnitTiles& tiles = {}) {
  Unit unit{"Intel " + instruction +
                (here ? ": the instruction runs here" : ": its model runs here, the processor lacks it"),
            {{Dtype::kBf16, Dtype::kF32}},
            order,
            here ? hardware : model};
  unit.dot = [dot](UnitFormat, const float* a, const float* b, int64_t k, float c) {
    return dot(a, b, k, c);
  };
  unit.tiles = tiles;
  return unit;
}

#if defined(__x86_64__)
UnitTiles amx_tiles() {
  return has_amx_bf16() ? UnitTiles{amx_bf16_pack, amx_bf16_multiply} : tiles_of_product(amx_bf16_model);
}
constexpr Product kAmxHardware = amx_bf16_hardware, kAvx512Hardware = avx512_bf16_hardware;
#else
UnitTiles amx_tiles() { return tiles_of_product(amx_bf16_model); }
constexpr Product kAmxHardware = nullptr, kAvx512Hardware = nullptr;
#endif

const Registered<Unit> kAmx{
    "amx_bf16",
    row("TDPBF16PS",
        "fma chains over the even and the odd k of each 32, then c + (even + odd); subnormals flushed",
        amx_bf16_dot, has_amx_bf16(), kAmxHardware, amx_bf16_model, amx_tiles())};
const Registered<Unit> kAvx512{
    "avx512_bf16",
    row("VDPBF16PS", "an fma chain over pairs of k, of each the odd one first; subnormals flushed",
        avx512_bf16_dot, has_avx512_bf16(), kAvx512Hardware, avx512_bf16_model)};

}  // namespace

float amx_bf16_dot(const float* a, const float* b, int64_t k, float c) {
  for (int64_t begin = 0; begin < k; begin += kTileDepth) {
    const int64_t end = std::min(begin + kTileDepth, k);
    float even = 0, odd = 0;
    for (int64_t i = begin; i < end; i += 2) {
      even = fma(a[i], b[i], even);
      odd = i + 1 < end ? fma(a[i + 1], b[i + 1], odd) : fma(0, 0, odd);
    }
    c = add(c, add(even, odd));
  }
  return c;
}

float avx512_bf16_dot(const float* a, const float* b, int64_t k, float c) {
  for (int64_t i = 0; i < k; i += 2) {
    c = i + 1 < k ? fma(a[i + 1], b[i + 1], c) : fma(0, 0, c);
    c = fma(a[i], b[i], c);
  }
  return c;
}

}  // namespace faultline
