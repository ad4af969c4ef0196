#pragma once

#include <cstdint>

#include "engine/base/result_pieces.h"
#include "engine/numerics/dtype.h"

namespace faultline {

// Converts n contiguous elements between f32, f16 and bf16: widened exactly, rounded once to nearest even.
void convert_elements(Dtype from_dtype, const void* from, Dtype to_dtype, void* to, int64_t n,
                      ResultPieces* pieces = nullptr);

}  // namespace faultline
