// How one warp holds 16 rows of A and of C or D, eight columns wide. PTX lays every input format out alike
// (PTX ISA, "Matrix fragments for mma" and "Register fragments for wgmma"): lane 4 g + t holds words t, t +
// 4, ... of rows g and g + 8 of A. A word is 32 bits: one, two or four elements of consecutive k.
#pragma once

#include <cuda_runtime.h>

#include "engine/numerics/dtype.h"

namespace faultline {

inline constexpr int kWarpRows = 16, kWarpColumns = 8, kLanes = 32;

#ifdef __CUDA_ARCH__
inline constexpr int kCompiledFor = __CUDA_ARCH__ / 10;
#else
inline constexpr int kCompiledFor = 0;
#endif

// The two formats of C and D: an f32 has a register of its own, two f16 share one.
struct F32Accumulator {
  using Register = float;
  static constexpr Dtype kDtype = Dtype::kF32;
  static constexpr int kRegisters = 4;
  static __device__ int place(int g, int t, int r) {
    return (g + 8 * (r >> 1)) * kWarpColumns + 2 * t + (r & 1);
  }
  static __device__ float from_bits(uint32_t bits) { return __uint_as_float(bits); }
  static __device__ uint32_t to_bits(float value) { return __float_as_uint(value); }
};
struct F16Accumulator {
  using Register = uint32_t;
  static constexpr Dtype kDtype = Dtype::kF16;
  static constexpr int kRegisters = 2;
  static __device__ int place(int g, int t, int r) { return (g + 8 * r) * (kWarpColumns / 2) + t; }
  static __device__ uint32_t from_bits(uint32_t bits) { return bits; }
  static __device__ uint32_t to_bits(uint32_t bits) { return bits; }
};

// The parts of one lane. `words` is the length of a row of A in words.
template <class Accumulator, int words>
struct Fragment {
  static constexpr int kWarpWordsOfD = Accumulator::kRegisters * kLanes;

  __device__ Fragment() : g(threadIdx.x % kLanes / 4), t(threadIdx.x % 4) {}

  // From the warp's rows of A and of C.
  __device__ void load(const uint32_t* rows_of_a, const uint32_t* rows_of_c) {
    for (int r = 0; r < words / 2; ++r) a[r] = rows_of_a[(g + 8 * (r & 1)) * words + t + 4 * (r >> 1)];
    for (int r = 0; r < Accumulator::kRegisters; ++r) {
      d[r] = Accumulator::from_bits(rows_of_c[Accumulator::place(g, t, r)]);
    }
  }
  __device__ void store(uint32_t* rows_of_d) const {
    for (int r = 0; r < Accumulator::kRegisters; ++r) {
      rows_of_d[Accumulator::place(g, t, r)] = Accumulator::to_bits(d[r]);
    }
  }

  int g, t;
  uint32_t a[words / 2];
  typename Accumulator::Register d[Accumulator::kRegisters];  // C at first
};

}  // namespace faultline
