// The f32 functions of engine/numerics/math.h on Highway vectors, equal to them in every bit.
// Re-included once per instruction set: include it after hwy/highway.h in a file that uses foreach_target.h.
#if defined(FAULTLINE_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_KERNELS_MATH_INL_H_
#undef FAULTLINE_KERNELS_MATH_INL_H_
#else
#define FAULTLINE_KERNELS_MATH_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace math_f32 {

namespace hn = hwy::HWY_NAMESPACE;

// The operations of math_f32.inc on the lanes of D. MulAdd is fused on every target that is compiled.
template <class D>
struct Lanes {
  using DI = hn::RebindToSigned<D>;
  using F = hn::Vec<D>;
  using I = hn::Vec<DI>;
  using M = hn::Mask<D>;

  HWY_INLINE F set(float value) const { return hn::Set(D(), value); }
  HWY_INLINE I set_bits(uint32_t value) const { return hn::Set(DI(), static_cast<int32_t>(value)); }
  HWY_INLINE F fma(F a, F b, F c) const { return hn::MulAdd(a, b, c); }
  HWY_INLINE F select(M condition, F yes, F no) const { return hn::IfThenElse(condition, yes, no); }
  HWY_INLINE M less(F a, F b) const { return hn::Lt(a, b); }
  HWY_INLINE M equal(F a, F b) const { return hn::Eq(a, b); }
  HWY_INLINE F abs(F a) const { return hn::Abs(a); }
  HWY_INLINE F copy_sign(F magnitude, F sign) const { return hn::CopySign(magnitude, sign); }
  HWY_INLINE I bits(F a) const { return hn::BitCast(DI(), a); }
  HWY_INLINE F from_bits(I a) const { return hn::BitCast(D(), a); }
  template <int kBits>
  HWY_INLINE I shift_left(I a) const {
    return hn::ShiftLeft<kBits>(a);
  }
  template <int kBits>
  HWY_INLINE I shift_right(I a) const {
    return hn::ShiftRight<kBits>(a);
  }
  HWY_INLINE F to_float(I a) const { return hn::ConvertTo(D(), a); }
};

#include "engine/numerics/math_f32.inc"

}  // namespace math_f32

// D is a descriptor of float lanes of any width; each lane gets what the scalar function of that name
// returns.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V Exp(D, V x) {
  return math_f32::exp_f32(math_f32::Lanes<D>(), x);
}
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V Log(D, V x) {
  return math_f32::log_f32(math_f32::Lanes<D>(), x);
}
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V Tanh(D, V x) {
  return math_f32::tanh_f32(math_f32::Lanes<D>(), x);
}
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V Sigmoid(D, V x) {
  return math_f32::sigmoid_f32(math_f32::Lanes<D>(), x);
}
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V Erf(D, V x) {
  return math_f32::erf_f32(math_f32::Lanes<D>(), x);
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_KERNELS_MATH_INL_H_
