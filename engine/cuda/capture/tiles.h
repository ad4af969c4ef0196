#pragma once

#include <cstdint>
#include <vector>

#include "engine/cuda/capture/instruction.h"
#include "engine/mma/vector_file.h"

namespace faultline {

// Returns `count` tiles for an instruction, D all zero: a function of the instruction's formats and sizes, of
// the seed and of the tile's index alone. The categories take turns (normal, wide, subnormal, cancel,
// one_large, tiny, overflow, special, bits); C is +0 in `tiny` and in every other round of all categories.
std::vector<VectorTile> make_tiles(const MatrixInstruction& instruction, int64_t count, uint64_t seed);

// Returns `count` tiles for an instruction with f16 operands and accumulators, whose sums lie beside half of the
// smallest f16: that half as one product, and another that counts unless FLOOR cuts it (tensor_core_numerics.md 3).
// The other is 2^-48 in the first column and twice as large in each further one, on into the next pair of tiles. Rows
// hold the four pairs of signs, and the other product at each k. C is +0, in every second tile -0.
std::vector<VectorTile> make_ties(const MatrixInstruction& instruction, int64_t count);

}  // namespace faultline
