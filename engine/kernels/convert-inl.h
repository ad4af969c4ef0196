// Loads that widen a stored format to f32 lanes, and stores that round f32 lanes into it once.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_KERNELS_CONVERT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_KERNELS_CONVERT_INL_H_
#undef FAULTLINE_KERNELS_CONVERT_INL_H_
#else
#define FAULTLINE_KERNELS_CONVERT_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "engine/base/error.h"
#include "engine/numerics/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
using DU16 = hn::Rebind<uint16_t, DF>;

using VU16 = hn::Vec<DU16>;

// How a format's values lie in memory, and the way from there to f32 lanes and back.
HWY_INLINE const float* Bits(const float* values) { return values; }
HWY_INLINE const uint16_t* Bits(const F16* values) { return &values->bits; }
HWY_INLINE const uint16_t* Bits(const Bf16* values) { return &values->bits; }
HWY_INLINE float* Bits(float* values) { return values; }
HWY_INLINE uint16_t* Bits(F16* values) { return &values->bits; }
HWY_INLINE uint16_t* Bits(Bf16* values) { return &values->bits; }

HWY_INLINE VF Widen(const float*, VF value) { return value; }
HWY_INLINE VF Widen(const F16*, VU16 bits) {
  const hn::Rebind<hwy::float16_t, DF> df16;
  return hn::PromoteTo(DF(), hn::BitCast(df16, bits));
}
HWY_INLINE VF Widen(const Bf16*, VU16 bits) {
  const hn::RebindToUnsigned<DF> du32;
  return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(du32, bits)));
}

HWY_INLINE VF Narrow(VF value, const float*) { return value; }
HWY_INLINE VU16 Narrow(VF value, const F16*) {
  const hn::Rebind<hwy::float16_t, DF> df16;
  return hn::BitCast(DU16(), hn::DemoteTo(df16, value));
}
// Highway's DemoteTo truncates on x86: nearest even by integers; a NaN keeps its top bits and becomes quiet.
HWY_INLINE VU16 Narrow(VF value, const Bf16*) {
  const hn::RebindToSigned<DF> di32;
  const hn::RebindToUnsigned<DF> du32;
  const auto bits = hn::BitCast(du32, value), top = hn::ShiftRight<16>(bits);
  const auto half = hn::Add(hn::Set(du32, 0x7fff), hn::And(top, hn::Set(du32, 1)));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, half));
  const auto is_nan = hn::RebindMask(du32, hn::IsNaN(value));
  const auto result = hn::IfThenElse(is_nan, hn::Or(top, hn::Set(du32, 0x40)), rounded);
  return hn::DemoteTo(DU16(), hn::BitCast(di32, result));
}

template <class T>
using DBits = hn::Rebind<std::remove_cvref_t<decltype(*Bits(std::declval<T*>()))>, DF>;

template <class T>
HWY_INLINE auto Load(const T* from) -> decltype(Widen(from, hn::LoadU(DBits<T>(), Bits(from)))) {
  return Widen(from, hn::LoadU(DBits<T>(), Bits(from)));
}
template <class T>
HWY_INLINE void Store(VF value, T* to) {
  hn::StoreU(Narrow(value, to), DBits<T>(), Bits(to));
}

// A format that kernels take: f32, f16, bf16.
template <class T>
concept KernelFormat = requires(const T* from) {
  Load(from);
};

// A whole vector, or the first `count` lanes of one: then the others read as zero and nothing past them is
// touched. AVX-512 has masks for that; Highway's on the other targets read past them.
struct WholeVector {
  template <class T>
  HWY_INLINE VF load(const T* from) const {
    return Load(from);
  }
  template <class T>
  HWY_INLINE void store(VF value, T* to) const {
    Store(value, to);
  }
};
struct PartialVector {
  size_t count;

  template <class T>
  HWY_INLINE VF load(const T* from) const {
#if HWY_TARGET <= HWY_AVX3
    const DBits<T> d;
    return Widen(from, hn::MaskedLoad(hn::FirstN(d, count), d, Bits(from)));
#else
    T lanes[hn::MaxLanes(DF())] = {};
    std::memcpy(lanes, from, count * sizeof(T));
    return Load(lanes);
#endif
  }
  template <class T>
  HWY_INLINE void store(VF value, T* to) const {
#if HWY_TARGET <= HWY_AVX3
    const DBits<T> d;
    hn::BlendedStore(Narrow(value, to), hn::FirstN(d, count), d, Bits(to));
#else
    T lanes[hn::MaxLanes(DF())];
    Store(value, lanes);
    std::memcpy(to, lanes, count * sizeof(T));
#endif
  }
};

// Calls body(vector, i) for every vector of [0, n), the last one partial.
template <class Body>
HWY_INLINE void ForVectors(int64_t n, Body body) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(DF()));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(WholeVector(), i);
  if (i < n) body(PartialVector{static_cast<size_t>(n - i)}, i);
}

// visit() over the formats that kernels take.
template <class Body>
void VisitKernelFormat(Dtype dtype, Body body) {
  visit(dtype, [&]<class T>() HWY_ATTR {
    if constexpr (KernelFormat<T>)
      body.template operator()<T>();
    else
      throw Error(ErrorCode::kInternal, "kernel", std::string("no kernel for ") + name(dtype));
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_KERNELS_CONVERT_INL_H_
