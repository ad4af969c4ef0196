#include "engine/kernels/row_formats.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/row_formats.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using U32 = hn::Rebind<uint32_t, F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using Half = hn::Rebind<hwy::float16_t, F32>;

HWY_INLINE hn::Vec<F32> Widen(const F16* values) {
  return hn::PromoteTo(F32(), hn::LoadU(Half(), reinterpret_cast<const hwy::float16_t*>(values)));
}

HWY_INLINE hn::Vec<F32> Widen(const Bf16* values) {
  const auto bits = hn::PromoteTo(U32(), hn::LoadU(U16(), reinterpret_cast<const uint16_t*>(values)));
  return hn::BitCast(F32(), hn::ShiftLeft<16>(bits));
}

HWY_INLINE void Narrow(hn::Vec<F32> value, F16* out) {
  hn::StoreU(hn::DemoteTo(Half(), value), Half(), reinterpret_cast<hwy::float16_t*>(out));
}

// To nearest even on the bit pattern; Highway's own conversion truncates on x86.
HWY_INLINE void Narrow(hn::Vec<F32> value, Bf16* out) {
  const auto bits = hn::BitCast(U32(), value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(U32(), 1));
  const auto rounded = hn::ShiftRight<16>(bits + hn::Set(U32(), 0x7fff) + odd);
  const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(U32(), 0x40));
  const auto is_nan = hn::RebindMask(U32(), hn::IsNaN(value));
  const auto result = hn::BitCast(hn::Rebind<int32_t, F32>(), hn::IfThenElse(is_nan, quiet, rounded));
  hn::StoreU(hn::DemoteTo(U16(), result), U16(), reinterpret_cast<uint16_t*>(out));
}

// The last part of a row goes through a full vector on the stack.
template <class T>
void WidenRow(const T* values, int64_t n, float* out) {
  const int64_t lanes = hn::Lanes(F32());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(Widen(values + i), F32(), out + i);
  if (i == n) return;
  T last[HWY_MAX_BYTES / sizeof(float)] = {};
  float wide[HWY_MAX_BYTES / sizeof(float)];
  std::memcpy(last, values + i, (n - i) * sizeof(T));
  hn::StoreU(Widen(last), F32(), wide);
  std::memcpy(out + i, wide, (n - i) * sizeof(float));
}

template <class T>
HWY_INLINE void NarrowRow(const float* values, int64_t n, T* out) {
  const int64_t lanes = hn::Lanes(F32());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) Narrow(hn::LoadU(F32(), values + i), out + i);
  if (i == n) return;
  float last[HWY_MAX_BYTES / sizeof(float)] = {};
  T narrow[HWY_MAX_BYTES / sizeof(float)];
  std::memcpy(last, values + i, (n - i) * sizeof(float));
  Narrow(hn::LoadU(F32(), last), narrow);
  std::memcpy(out + i, narrow, (n - i) * sizeof(T));
}

void WidenF16(const F16* values, int64_t n, float* out) { WidenRow(values, n, out); }
void WidenBf16(const Bf16* values, int64_t n, float* out) { WidenRow(values, n, out); }
void NarrowF16(const float* values, int64_t stride, int64_t rows, int64_t n, F16* out, int64_t out_stride) {
  for (int64_t i = 0; i < rows; ++i) NarrowRow(values + i * stride, n, out + i * out_stride);
}
void NarrowBf16(const float* values, int64_t stride, int64_t rows, int64_t n, Bf16* out, int64_t out_stride) {
  for (int64_t i = 0; i < rows; ++i) NarrowRow(values + i * stride, n, out + i * out_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(WidenF16);
HWY_EXPORT(WidenBf16);
HWY_EXPORT(NarrowF16);
HWY_EXPORT(NarrowBf16);

void widen_typed(const F16* values, int64_t n, float* out) { HWY_DYNAMIC_DISPATCH(WidenF16)(values, n, out); }
void widen_typed(const Bf16* values, int64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(WidenBf16)(values, n, out);
}
void widen_typed(const float* values, int64_t n, float* out) { std::memcpy(out, values, n * sizeof(float)); }
void narrow_typed(const float* values, int64_t stride, int64_t rows, int64_t n, F16* out,
                  int64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(NarrowF16)(values, stride, rows, n, out, out_stride);
}
void narrow_typed(const float* values, int64_t stride, int64_t rows, int64_t n, Bf16* out,
                  int64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(NarrowBf16)(values, stride, rows, n, out, out_stride);
}
void narrow_typed(const float* values, int64_t stride, int64_t rows, int64_t n, float* out,
                  int64_t out_stride) {
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(out + i * out_stride, values + i * stride, n * sizeof(float));
}

}  // namespace

void widen_row(const void* values, Dtype dtype, int64_t n, float* out) {
  visit(dtype, [&]<class T>() {
    if constexpr (sizeof(T) <= 4 && !std::is_integral_v<T>)
      widen_typed(static_cast<const T*>(values), n, out);
  });
}

void round_row_to_tf32(float* values, int64_t n, Tf32Rounding rounding) {
  for (int64_t i = 0; i < n; ++i) values[i] = tf32_from_f32(values[i], rounding);
}

void narrow_rows(const float* values, int64_t stride, int64_t rows, int64_t n, Dtype dtype, void* out,
                 int64_t out_stride) {
  visit(dtype, [&]<class T>() {
    if constexpr (sizeof(T) <= 4 && !std::is_integral_v<T>) {
      narrow_typed(values, stride, rows, n, static_cast<T*>(out), out_stride);
    }
  });
}

void narrow_row(const float* values, int64_t n, Dtype dtype, void* out) {
  narrow_rows(values, n, 1, n, dtype, out, n);
}

}  // namespace faultline
#endif  // HWY_ONCE
