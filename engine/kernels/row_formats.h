#pragma once

#include <cstdint>

#include "engine/numerics/dtype.h"

namespace faultline {

// Widens n contiguous values of a float format of at most 32 bits exactly.
void widen_row(const void* values, Dtype dtype, int64_t n, float* out);

// Rounds n values to tf32 in place.
void round_row_to_tf32(float* values, int64_t n, Tf32Rounding rounding);

// Rounds `rows` rows of n values, `stride` apart, into rows that are out_stride elements apart.
void narrow_rows(const float* values, int64_t stride, int64_t rows, int64_t n, Dtype dtype, void* out,
                 int64_t out_stride);

// Rounds n values once to nearest even into a float format of at most 32 bits.
void narrow_row(const float* values, int64_t n, Dtype dtype, void* out);

}  // namespace faultline
