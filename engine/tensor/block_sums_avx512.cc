// XXH3 on vectors of 512 bits, which look for NaNs on their way. A file of its own, compiled for AVX-512: it must
// define no function that another file may define too.
#include "engine/tensor/block_sums.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes its own _mm512_undefined_epi32 for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
static_assert(XXH_VECTOR == XXH_AVX512 && XXH_STRIPE_LEN == faultline::kStripeBytes);

namespace faultline {
namespace {

template <class Bits>
constexpr Bits kAllButTop = static_cast<Bits>(~Bits{0}) / 2;

// Whether there were NaNs among the stripes that it saw. Where the processor compares, each comparison waits for the
// last one of its chain, so that neighbours are better of different chains.
template <class Bits>
class NanSearch {
 public:
  [[gnu::always_inline]] void see(__m512i a, __m512i b, size_t chain = 0) {
    __mmask16& numbers = numbers_[chain % 2];
    // f32 and f64 are the only formats of their widths: the processor itself compares two stripes of them at once.
    if constexpr (sizeof(Bits) == 8)
      numbers = _mm512_mask_cmp_pd_mask(numbers, _mm512_castsi512_pd(a), _mm512_castsi512_pd(b), _CMP_ORD_Q);
    if constexpr (sizeof(Bits) == 4)
      numbers = _mm512_mask_cmp_ps_mask(numbers, _mm512_castsi512_ps(a), _mm512_castsi512_ps(b), _CMP_ORD_Q);
    if constexpr (sizeof(Bits) == 2) {
      const __m512i mask = _mm512_set1_epi16(kAllButTop<Bits>);
      largest_ =
          _mm512_max_epu16(largest_, _mm512_max_epu16(_mm512_and_si512(a, mask), _mm512_and_si512(b, mask)));
    }
    if constexpr (sizeof(Bits) == 1) {
      const __m512i mask = _mm512_set1_epi8(kAllButTop<Bits>);
      largest_ =
          _mm512_max_epu8(largest_, _mm512_max_epu8(_mm512_and_si512(a, mask), _mm512_and_si512(b, mask)));
    }
  }

  [[gnu::always_inline]] bool found(Bits infinity) const {
    if constexpr (sizeof(Bits) == 1) return _mm512_cmpgt_epu8_mask(largest_, _mm512_set1_epi8(infinity)) != 0;
    if constexpr (sizeof(Bits) == 2)
      return _mm512_cmpgt_epu16_mask(largest_, _mm512_set1_epi16(infinity)) != 0;
    return (numbers_[0] & numbers_[1]) != kAllNumbers;
  }

 private:
  static constexpr __mmask16 kAllNumbers = sizeof(Bits) == 8 ? 0xff : 0xffff;
  __mmask16 numbers_[2] = {kAllNumbers, kAllNumbers};  // lanes without a NaN
  __m512i largest_ = _mm512_setzero_si512();           // magnitudes of the narrow formats
};

constexpr size_t kSecretBytes = sizeof(XXH3_kSecret), kStripe = kStripeBytes,
                 kStripesPerScramble = (kSecretBytes - kStripe) / XXH_SECRET_CONSUME_RATE;

// A stripe in a register: gcc would load it anew for each use, and loads would bound the loop.
XXH_FORCE_INLINE __m512i load_once(const uint8_t* bytes) {
  __m512i stripe = _mm512_loadu_si512(bytes);
  asm("" : "+v"(stripe));
  return stripe;
}

XXH_FORCE_INLINE __m512i product(__m512i stripe, const uint8_t* secret) {
  const __m512i keyed = _mm512_xor_si512(stripe, _mm512_loadu_si512(secret));
  return _mm512_mul_epu32(keyed, _mm512_srli_epi64(keyed, 32));
}

// Each word of a stripe is added to the sum beside its own.
XXH_FORCE_INLINE __m512i in_pairs_swapped(__m512i words) {
  return _mm512_shuffle_epi32(words, _MM_PERM_BADC);
}

template <class Bits>
XXH_FORCE_INLINE __m512i add_stripe(__m512i sums, NanSearch<Bits>& nans, const uint8_t* bytes,
                                    const uint8_t* secret) {
  const __m512i stripe = _mm512_loadu_si512(bytes);
  nans.see(stripe, stripe);
  return _mm512_add_epi64(sums, _mm512_add_epi64(in_pairs_swapped(stripe), product(stripe, secret)));
}

// What lies between two scrambles. The two vector ports bound the loop, so it works for two stripes at once where that
// saves an instruction, and swaps words only after it has added them up.
template <class Bits, bool kAsks>
XXH_FORCE_INLINE __m512i add_stripes(__m512i sums, NanSearch<Bits>& nans, const uint8_t* bytes) {
  // Bytes from here to what is asked for: into the first cache, because a Zen 5 reads a quarter slower from the third one
  // where it is asked for into the second.
  constexpr size_t kAhead = 4096;
  __m512i words = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (size_t i = 0; i < kStripesPerScramble; i += 2) {
    const uint8_t* const pair = bytes + i * kStripe;
    const uint8_t* const secret = XXH3_kSecret + i * XXH_SECRET_CONSUME_RATE;
    if constexpr (kAsks) {
      _mm_prefetch(reinterpret_cast<const char*>(pair + kAhead), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(pair + kAhead + kStripe), _MM_HINT_T0);
    }
    const __m512i a = load_once(pair), b = load_once(pair + kStripe);
    nans.see(a, b, i / 2);
    words = _mm512_add_epi64(words, _mm512_add_epi64(a, b));
    sums = _mm512_add_epi64(
        sums, _mm512_add_epi64(product(a, secret), product(b, secret + XXH_SECRET_CONSUME_RATE)));
  }
  return _mm512_add_epi64(sums, in_pairs_swapped(words));
}

XXH_FORCE_INLINE __m512i scrambled(__m512i sums) {
  XXH3_scrambleAcc(&sums, XXH3_kSecret + kSecretBytes - kStripe);
  return sums;
}

// Bytes [begin, end) of a block. As XXH3_hashLong_internal_loop of xxhash.h: the last stripe of a block ends with it,
// and so may begin within the one before.
template <class Bits, bool kAsks>
XXH_FORCE_INLINE __m512i add_part(__m512i sums, NanSearch<Bits>& nans, const uint8_t* bytes, size_t begin,
                                  size_t end, size_t block_bytes) {
  const size_t last = (end < block_bytes ? end : block_bytes - 1) / kStripe;
  size_t i = begin / kStripe;
  const auto add_one = [&] {
    const size_t in_turn = i % kStripesPerScramble;
    sums = add_stripe<Bits>(sums, nans, bytes + i * kStripe - begin,
                            XXH3_kSecret + in_turn * XXH_SECRET_CONSUME_RATE);
    if (++i % kStripesPerScramble == 0) sums = scrambled(sums);
  };
  while (i % kStripesPerScramble != 0 && i < last) add_one();
  for (; i + kStripesPerScramble <= last; i += kStripesPerScramble)
    sums = scrambled(add_stripes<Bits, kAsks>(sums, nans, bytes + i * kStripe - begin));
  while (i < last) add_one();
  if (end < block_bytes) return sums;
  return add_stripe<Bits>(sums, nans, bytes + (end - kStripe - begin),
                          XXH3_kSecret + kSecretBytes - kStripe - XXH_SECRET_LASTACC_START);
}

}  // namespace

template <class Bits>
bool add_to_block_avx512(BlockSums& block, const void* bytes, size_t begin, size_t end, size_t block_bytes,
                         Bits infinity) {
  constexpr uint64_t kStart[] = XXH3_INIT_ACC;
  NanSearch<Bits> nans;
  const __m512i sums = _mm512_loadu_si512(begin == 0 ? kStart : block.words);
  const auto* const part = static_cast<const uint8_t*>(bytes);
  // A whole block may lie anywhere, smaller parts are in the first cache.
  _mm512_storeu_si512(block.words, begin == 0 && end == block_bytes
                                       ? add_part<Bits, true>(sums, nans, part, 0, block_bytes, block_bytes)
                                       : add_part<Bits, false>(sums, nans, part, begin, end, block_bytes));
  return nans.found(infinity);
}

// As XXH3_hashLong_128b_internal of xxhash.h.
Digest end_block_avx512(const BlockSums& block, size_t size_bytes) {
  static_assert(kSmallestVectorBlock == XXH3_MIDSIZE_MAX + 1);
  const uint64_t* const sums = block.words;
  const uint8_t* const end_of_secret = XXH3_kSecret + kSecretBytes;
  const XXH128_hash_t hash = {
      XXH3_mergeAccs(sums, XXH3_kSecret + XXH_SECRET_MERGEACCS_START, size_bytes * XXH_PRIME64_1),
      XXH3_mergeAccs(sums, end_of_secret - sizeof(block) - XXH_SECRET_MERGEACCS_START,
                     ~(size_bytes * XXH_PRIME64_2))};
  Digest digest;
  static_assert(sizeof(digest) == sizeof(XXH128_canonical_t));
  XXH128_canonicalFromHash(reinterpret_cast<XXH128_canonical_t*>(&digest), hash);
  return digest;
}

template bool add_to_block_avx512(BlockSums&, const void*, size_t, size_t, size_t, uint8_t);
template bool add_to_block_avx512(BlockSums&, const void*, size_t, size_t, size_t, uint16_t);
template bool add_to_block_avx512(BlockSums&, const void*, size_t, size_t, size_t, uint32_t);
template bool add_to_block_avx512(BlockSums&, const void*, size_t, size_t, size_t, uint64_t);

}  // namespace faultline
#endif
