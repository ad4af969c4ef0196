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

#include "engine/base/error.h"
#include "engine/numerics/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
using DU16 = hn::Rebind<uint16_t, DF>;

HWY_INLINE VF Load(const float* from) { return hn::LoadU(DF(), from); }
HWY_INLINE VF Load(const F16* from) {
  const hn::Rebind<hwy::float16_t, DF> df16;
  return hn::PromoteTo(DF(), hn::BitCast(df16, hn::LoadU(DU16(), &from->bits)));
}
HWY_INLINE VF Load(const Bf16* from) {
  const hn::RebindToUnsigned<DF> du32;
  return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(du32, hn::LoadU(DU16(), &from->bits))));
}

HWY_INLINE void Store(VF value, float* to) { hn::StoreU(value, DF(), to); }
HWY_INLINE void Store(VF value, F16* to) {
  const hn::Rebind<hwy::float16_t, DF> df16;
  hn::StoreU(hn::BitCast(DU16(), hn::DemoteTo(df16, value)), DU16(), &to->bits);
}
// Highway's DemoteTo truncates on x86: nearest even by integers; a NaN keeps its top bits and becomes quiet.
HWY_INLINE void Store(VF value, Bf16* to) {
  const hn::RebindToSigned<DF> di32;
  const hn::RebindToUnsigned<DF> du32;
  const auto bits = hn::BitCast(du32, value), top = hn::ShiftRight<16>(bits);
  const auto half = hn::Add(hn::Set(du32, 0x7fff), hn::And(top, hn::Set(du32, 1)));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, half));
  const auto is_nan = hn::RebindMask(du32, hn::IsNaN(value));
  const auto result = hn::IfThenElse(is_nan, hn::Or(top, hn::Set(du32, 0x40)), rounded);
  hn::StoreU(hn::DemoteTo(DU16(), hn::BitCast(di32, result)), DU16(), &to->bits);
}

// A format that kernels take: f32, f16, bf16.
template <class T>
concept KernelFormat = requires(const T* from) {
  Load(from);
};

// A whole vector, or the first `count` lanes of one: then the others read as zero and nothing past them is
// touched.
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
    T lanes[hn::MaxLanes(DF())] = {};
    std::memcpy(lanes, from, count * sizeof(T));
    return Load(lanes);
  }
  template <class T>
  HWY_INLINE void store(VF value, T* to) const {
    T lanes[hn::MaxLanes(DF())];
    Store(value, lanes);
    std::memcpy(to, lanes, count * sizeof(T));
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
