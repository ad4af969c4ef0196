#pragma once

#include <cstdint>

#include "engine/mma/arithmetic.h"

namespace faultline {

// Rows of a table [rows, width] picked by `tokens` indices, tokens_per_sample for each sample.
struct EmbeddingShape {
  int64_t rows, width, tokens, tokens_per_sample;
};

// Writes y [tokens, width]: row indices[i] of w.
void embedding(const EmbeddingShape& shape, Dtype dtype, const void* w, const int32_t* indices, void* y);

// Writes dw [rows, width]: to each row the dy of its tokens, added in rising token from +0 within a leaf of 8
// samples, leaves joined by the tree; or in shuffled blocks of 256 tokens (numerics.md 2.3, 2.6, 4). A leaf
// or block without a token of the row adds +0. f32, one rounding to the format.
void embedding_gradient(const EmbeddingShape& shape, Dtype dtype, const int32_t* indices, const void* dy,
                        const Arithmetic& arithmetic, void* dw);

}  // namespace faultline
