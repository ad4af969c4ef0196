#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/digest.h"

namespace faultline {

// From here on XXH3 takes its loop over vectors.
inline constexpr size_t kSmallestVectorBlock = 241;
// Bytes of a block that XXH3 takes in one step.
inline constexpr size_t kStripeBytes = 64;

// What XXH3-128 has added up of the first bytes of a block of at least kSmallestVectorBlock.
struct BlockSums {
  uint64_t words[8];
};

// Takes bytes [begin, end) of a block after those before them, floating-point numbers read as unsigned integers of
// `Bits`, and returns whether one of them is a NaN: larger than `infinity` without its top bit. One pass over the memory.
// `begin` is a multiple of a stripe, and so is `end`, or it is the block's end and a stripe or more lies between.
// Needs a processor with AVX-512.
// Bitwise:     instruction sets yes.
template <class Bits>
bool add_to_block_avx512(BlockSums& block, const void* bytes, size_t begin, size_t end, size_t block_bytes,
                         Bits infinity);

// Returns the digest of a block of which all bytes were taken.
Digest end_block_avx512(const BlockSums& block, size_t block_bytes);

}  // namespace faultline
