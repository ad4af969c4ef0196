#pragma once

#include <cstdint>

#include "engine/mma/unit.h"

namespace faultline {

// Intel's two instructions on pairs of bf16 (numerics.md 3), each as one plain output element, as a fast
// model of a product that runs anywhere, and as the instruction itself. Every operation is one f32 operation
// to nearest even that reads subnormals as zero and flushes a tiny result to zero of its sign, whatever
// MXCSR says; tiny is judged as everywhere on x86, after rounding to 24 bits with an unbounded exponent. k is
// taken in pairs: an odd k is completed by +0 times +0.

// One step covers up to 32 k: e and o are the fma chains over the even and the odd k from +0, and c + (e + o)
// is the next c.
// Source:  Intel SDM, TDPBF16PS; checked on hardware, the payloads of NaNs apart.
float amx_bf16_dot(const float* a, const float* b, int64_t k, float c);
void amx_bf16_model(const UnitProduct& product);

// One step is a pair: c = fma(a[2i+1], b[2i+1], c), then c = fma(a[2i], b[2i], c).
// Source:  Intel SDM, VDPBF16PS; checked on hardware.
float avx512_bf16_dot(const float* a, const float* b, int64_t k, float c);
void avx512_bf16_model(const UnitProduct& product);

// The instructions. They may be called where has_amx_bf16() or has_avx512_bf16() (engine/base/cpu.h).
void amx_bf16_hardware(const UnitProduct& product);
void amx_bf16_pack(const UnitOperand& operand, UnitSide side, int64_t size, int64_t K, Bf16* packed);
void amx_bf16_multiply(const UnitTileProduct& product);
void avx512_bf16_hardware(const UnitProduct& product);

}  // namespace faultline
