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

}  // namespace faultline
