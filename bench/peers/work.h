#pragma once

#include <cstdint>

namespace faultline::bench {

// c [m, n] = a [m, k] b [k, n] in f32, all dense and row-major; a transposed operand is stored as [k, m] or
// [n, k].
struct Gemm {
  int64_t m, n, k;
  bool a_transposed, b_transposed;
  const float* a;
  const float* b;
  float* c;
};

}  // namespace faultline::bench
