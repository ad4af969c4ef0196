#pragma once

#include <cstdint>

#include "engine/base/registry.h"
#include "engine/numerics/dtype.h"

namespace faultline {

// A matrix instruction of NVIDIA GPUs, D = A B + C on one tile; each registers itself in a row of its .cu
// file.
struct MatrixInstruction {
  static constexpr const char* kKind = "instruction";

  Dtype input;       // of A and B
  Dtype accumulate;  // of C and D
  int64_t m, n, k;
  int first_architecture, last_architecture;  // 90 stands for sm_90
  // Runs `tiles` products on the GPU; the matrices lie there as in a vector file, tile after tile, packed.
  void (*launch)(const void* a, const void* b, const void* c, void* d, int tiles) = nullptr;
};

inline constexpr int kNewestArchitecture = 999;

}  // namespace faultline
