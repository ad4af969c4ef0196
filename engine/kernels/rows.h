#pragma once

#include <cstdint>

#include "engine/numerics/dtype.h"

namespace faultline {

// Rows of contiguous elements, `stride` elements apart.
struct Rows {
  void* data;
  Dtype dtype;
  int64_t stride;
};
struct ConstRows {
  const void* data;
  Dtype dtype;
  int64_t stride;
};

// Converts rows of n elements between f32, f16 and bf16 on this thread: widened exactly, rounded once to
// nearest even.
void convert_rows(ConstRows from, Rows to, int64_t rows, int64_t n);

// Rounds n values to tf32 in place.
void round_to_tf32(float* values, int64_t n, Tf32Rounding rounding);

}  // namespace faultline
