// The random numbers of engine/numerics/philox.h on vectors, equal to them in every bit.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_KERNELS_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_KERNELS_PHILOX_INL_H_
#undef FAULTLINE_KERNELS_PHILOX_INL_H_
#else
#define FAULTLINE_KERNELS_PHILOX_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {

using DU32 = hwy::HWY_NAMESPACE::ScalableTag<uint32_t>;
using VU32 = hwy::HWY_NAMESPACE::Vec<DU32>;

// One vector of blocks: so many words does PhiloxWords write.
constexpr int64_t kPhiloxWords = 4 * hwy::HWY_NAMESPACE::MaxLanes(DU32());

// The upper halves of the products of each lane.
HWY_INLINE VU32 MulHigh(VU32 a, VU32 b) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RepartitionToWide<DU32> du64;
  const auto odd = [&](VU32 v)
                       HWY_ATTR { return hn::BitCast(DU32(), hn::ShiftRight<32>(hn::BitCast(du64, v))); };
  const auto even_products = hn::MulEven(a, b), odd_products = hn::MulEven(odd(a), odd(b));
  return hn::OddEven(hn::BitCast(DU32(), odd_products), odd(hn::BitCast(DU32(), even_products)));
}

// Writes words first_word, first_word + 1, ... of a stream; first_word is a multiple of kPhiloxWords.
// Source: Salmon et al. 2011, Philox4x32-10.
HWY_INLINE void PhiloxWords(uint64_t seed, uint64_t stream, uint64_t first_word, uint32_t* words) {
  namespace hn = hwy::HWY_NAMESPACE;
  constexpr uint32_t kMultipliers[] = {0xD2511F53, 0xCD9E8D57}, kWeyl[] = {0x9E3779B9, 0xBB67AE85};
  uint32_t low[hn::MaxLanes(DU32())], high[hn::MaxLanes(DU32())];
  for (size_t lane = 0; lane < hn::Lanes(DU32()); ++lane) {
    low[lane] = static_cast<uint32_t>(first_word / 4 + lane);
    high[lane] = static_cast<uint32_t>((first_word / 4 + lane) >> 32);
  }
  const VU32 m0 = hn::Set(DU32(), kMultipliers[0]), m1 = hn::Set(DU32(), kMultipliers[1]);
  VU32 c0 = hn::Set(DU32(), static_cast<uint32_t>(stream));
  VU32 c1 = hn::Set(DU32(), static_cast<uint32_t>(stream >> 32));
  VU32 c2 = hn::LoadU(DU32(), low), c3 = hn::LoadU(DU32(), high);
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const VU32 next0 = hn::Xor(hn::Xor(MulHigh(m1, c2), c1), hn::Set(DU32(), key0));
    const VU32 next2 = hn::Xor(hn::Xor(MulHigh(m0, c0), c3), hn::Set(DU32(), key1));
    c1 = hn::Mul(m1, c2);
    c3 = hn::Mul(m0, c0);
    c0 = next0;
    c2 = next2;
    key0 += kWeyl[0];
    key1 += kWeyl[1];
  }
  hn::StoreInterleaved4(c0, c1, c2, c3, DU32(), words);
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_KERNELS_PHILOX_INL_H_
