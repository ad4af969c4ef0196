#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

// One op over f32 images [n, c, h, w], or rows of `w`, or a cast, by its name in elementwise.cc: one input, for
// norms weight and bias too, and one output.
struct Elementwise {
  std::string op;
  int64_t n, c, h, w;
  std::vector<const void*> in;
  std::vector<void*> out;
};

}  // namespace faultline::bench
