#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace faultline {

// Returns the number of a named stream: the XXH3-64 of the name.
uint64_t stream_id(std::string_view name);

// A stream of random numbers that is a function of (seed, stream name) alone (numerics.md 2.5): Random123's
// Philox4x32-10 with key = seed and counter = (stream id, block), both low word first.
// u32 number i of the stream is word i mod 4 of block i / 4.
// Bitwise: runs, threads, instruction sets, backends yes.
// Source:  Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
class Draws {
 public:
  // Starts at u32 number `first` of the stream.
  Draws(uint64_t seed, std::string_view stream_name, uint64_t first = 0);

  // Returns u32 number `index` of a stream without drawing those before it.
  static uint32_t at(uint64_t seed, uint64_t stream, uint64_t index);

  uint32_t u32();

  // Returns the top 24 bits of one u32 times 2^-24: in [0, 1), each value exact in f32.
  float uniform();

  // Returns a standard normal number from two u32, a then b (Box and Muller 1958, its cosine branch):
  // sqrt(-2 log((a + 1) 2^-32)) cos(2 pi b 2^-32), in f64.
  double normal();

  // Returns an unbiased integer in [0, n): the high word of u32 * n, drawn again while the low word is below
  // 2^32 mod n (Lemire 2019). Throws kArgument if n is 0.
  uint32_t below(uint32_t n);

  // The u32 numbers drawn so far, with `first`: where a new object would go on.
  uint64_t count() const { return count_; }

 private:
  uint64_t seed_, stream_, count_;
  uint32_t block_[4];  // The block of number count_, filled when it begins.
};

// Permutes the values by Fisher-Yates from the last element: for i = size - 1 down to 1, swaps values i and
// below(i + 1).
void shuffle(std::vector<int32_t>& values, Draws& draws);

}  // namespace faultline
