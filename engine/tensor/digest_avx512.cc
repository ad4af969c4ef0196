// XXH3 on vectors of 512 bits, which look for the largest magnitude on their way. A file of its own, compiled for
// AVX-512: it must define no function that another file may define too.
#include "engine/tensor/digest_block.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes its own _mm512_undefined_epi32 for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
static_assert(XXH_VECTOR == XXH_AVX512);

namespace faultline {
namespace {

template <class Bits>
constexpr Bits kAllButTop = static_cast<Bits>(~Bits{0}) / 2;

template <class Bits>
XXH_FORCE_INLINE __m512i larger(__m512i a, __m512i b) {
  if constexpr (sizeof(Bits) == 1) return _mm512_max_epu8(a, b);
  if constexpr (sizeof(Bits) == 2) return _mm512_max_epu16(a, b);
  if constexpr (sizeof(Bits) == 4) return _mm512_max_epu32(a, b);
  return _mm512_max_epu64(a, b);
}

template <class Bits>
XXH_FORCE_INLINE __m512i magnitudes(__m512i bits) {
  constexpr Bits kMask = kAllButTop<Bits>;
  if constexpr (sizeof(Bits) == 1) return _mm512_and_si512(bits, _mm512_set1_epi8(kMask));
  if constexpr (sizeof(Bits) == 2) return _mm512_and_si512(bits, _mm512_set1_epi16(kMask));
  if constexpr (sizeof(Bits) == 4) return _mm512_and_si512(bits, _mm512_set1_epi32(kMask));
  return _mm512_and_si512(bits, _mm512_set1_epi64(kMask));
}

// What the hash adds up, and the largest magnitudes so far: in registers, which the compiler grants only to variables
// whose address goes nowhere.
struct Pass {
  __m512i sums, largest;
};

template <class Bits>
XXH_FORCE_INLINE void take_stripe(Pass& pass, const uint8_t* stripe, const uint8_t* secret) {
  XXH3_accumulate_512(&pass.sums, stripe, secret);
  pass.largest = larger<Bits>(pass.largest, magnitudes<Bits>(_mm512_loadu_si512(stripe)));
}

constexpr size_t kSecretBytes = sizeof(XXH3_kSecret), kStripe = XXH_STRIPE_LEN,
                 kStripesPerScramble = (kSecretBytes - kStripe) / XXH_SECRET_CONSUME_RATE,
                 kScrambleBytes = kStripesPerScramble * kStripe;

// As XXH3_hashLong_internal_loop of xxhash.h.
template <class Bits>
XXH_FORCE_INLINE Pass take_block(const uint8_t* block, size_t size_bytes) {
  constexpr size_t kAhead = 2048;  // bytes to prefetch: state comes from the third cache
  const uint64_t start[] = XXH3_INIT_ACC;
  Pass pass = {_mm512_loadu_si512(start), _mm512_setzero_si512()};
  const uint8_t* const last = block + size_bytes - kStripe;
  for (; block + kScrambleBytes < last + kStripe; block += kScrambleBytes) {
    for (size_t i = 0; i < kStripesPerScramble; ++i) {
      XXH_PREFETCH(block + i * kStripe + kAhead);
      take_stripe<Bits>(pass, block + i * kStripe, XXH3_kSecret + i * XXH_SECRET_CONSUME_RATE);
    }
    XXH3_scrambleAcc(&pass.sums, XXH3_kSecret + kSecretBytes - kStripe);
  }
  for (const uint8_t* secret = XXH3_kSecret; block < last; block += kStripe) {
    take_stripe<Bits>(pass, block, secret);
    secret += XXH_SECRET_CONSUME_RATE;
  }
  take_stripe<Bits>(pass, last, XXH3_kSecret + kSecretBytes - kStripe - XXH_SECRET_LASTACC_START);
  return pass;
}

}  // namespace

// As XXH3_hashLong_128b_internal of xxhash.h.
template <class Bits>
Bits digest_block_avx512(const void* block, size_t size_bytes, Digest& digest) {
  static_assert(kSmallestVectorBlock == XXH3_MIDSIZE_MAX + 1);
  const Pass pass = take_block<Bits>(static_cast<const uint8_t*>(block), size_bytes);
  uint64_t sums[XXH_ACC_NB];
  _mm512_storeu_si512(sums, pass.sums);
  const uint8_t* const end_of_secret = XXH3_kSecret + kSecretBytes;
  const XXH128_hash_t hash = {
      XXH3_mergeAccs(sums, XXH3_kSecret + XXH_SECRET_MERGEACCS_START, size_bytes * XXH_PRIME64_1),
      XXH3_mergeAccs(sums, end_of_secret - sizeof(sums) - XXH_SECRET_MERGEACCS_START,
                     ~(size_bytes * XXH_PRIME64_2))};
  static_assert(sizeof(Digest) == sizeof(XXH128_canonical_t));
  XXH128_canonicalFromHash(reinterpret_cast<XXH128_canonical_t*>(&digest), hash);
  Bits lanes[kStripe / sizeof(Bits)], largest = 0;
  _mm512_storeu_si512(lanes, pass.largest);
  for (const Bits lane : lanes) largest = largest < lane ? lane : largest;
  return largest;
}

template uint8_t digest_block_avx512<uint8_t>(const void*, size_t, Digest&);
template uint16_t digest_block_avx512<uint16_t>(const void*, size_t, Digest&);
template uint32_t digest_block_avx512<uint32_t>(const void*, size_t, Digest&);
template uint64_t digest_block_avx512<uint64_t>(const void*, size_t, Digest&);

}  // namespace faultline
#endif
