#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/digest.h"

namespace faultline {

// From here on XXH3 takes its loop over vectors.
inline constexpr size_t kSmallestVectorBlock = 241;

// Writes the XXH3-128 of a block of at least kSmallestVectorBlock bytes, floating-point numbers read as unsigned
// integers of `Bits`, and returns whether one of them is a NaN: larger than `infinity` without its top bit. One pass
// over the memory. Needs a processor with AVX-512.
// Bitwise:     instruction sets yes.
template <class Bits>
bool digest_block_avx512(const void* block, size_t size_bytes, Bits infinity, Digest& digest);

}  // namespace faultline
