#include "engine/kernels/rows.h"

#include <cstring>

#include "engine/base/memory.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/rows.cc"
#include <hwy/foreach_target.h>

#include "engine/kernels/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

// Calls body(vector, i) for the vectors of a row that is written once: the last one may take elements of the one
// before it again, which is faster than a partial vector.
template <class Body>
HWY_INLINE void ForRowVectors(int64_t n, Body body) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(DF()));
  if (n < lanes) return ForVectors(n, body);
  for (int64_t i = 0; i + lanes <= n; i += lanes) body(WholeVector(), i);
  if (n % lanes != 0) body(WholeVector(), n - lanes);
}

void convert_rows_kernel(ConstRows from_rows, Rows to_rows, int64_t rows, int64_t n) {
  VisitKernelFormat(from_rows.dtype, [&]<class From>() HWY_ATTR {
    VisitKernelFormat(to_rows.dtype, [&]<class To>() HWY_ATTR {
      for (int64_t row = 0; row < rows; ++row) {
        const From* from = static_cast<const From*>(from_rows.data) + row * from_rows.stride;
        To* to = static_cast<To*>(to_rows.data) + row * to_rows.stride;
        ForRowVectors(n,
                      [=](auto vector, int64_t i) HWY_ATTR { vector.store(vector.load(from + i), to + i); });
      }
    });
  });
}

// tf32_from_f32 on the bit patterns; infinities and NaNs take no rounding increment.
void round_to_tf32_kernel(float* values, int64_t n, Tf32Rounding rounding) {
  const hn::RebindToUnsigned<DF> du;
  const auto exponent = hn::Set(du, 0x7f800000u), low = hn::Set(du, 0x1fffu);
  ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
    const VF value = vector.load(values + i);
    auto bits = hn::BitCast(du, value), increment = hn::Zero(du);
    if (rounding == Tf32Rounding::kRna) increment = hn::Set(du, 0x1000u);
    if (rounding == Tf32Rounding::kRne) {
      increment = hn::Add(hn::Set(du, 0xfffu), hn::And(hn::ShiftRight<13>(bits), hn::Set(du, 1u)));
    }
    const auto special = hn::Eq(hn::And(bits, exponent), exponent);
    bits = hn::Add(bits, hn::IfThenZeroElse(special, increment));
    if (rounding != Tf32Rounding::kTruncate) {
      const auto quiet = hn::IfThenElseZero(hn::RebindMask(du, hn::IsNaN(value)), hn::Set(du, 0x00400000u));
      bits = hn::Or(bits, quiet);
    }
    vector.store(hn::BitCast(DF(), hn::AndNot(low, bits)), values + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(convert_rows_kernel);
HWY_EXPORT(round_to_tf32_kernel);

// Short rows go in pieces, of which the last takes bytes of the one before it again. What lies a page ahead is asked
// for: the processor, which foresees reads, does not foresee those of the next page.
void copy_rows(const char* from, int64_t from_stride, char* to, int64_t to_stride, int64_t rows,
               int64_t bytes) {
  constexpr int64_t kPiece = 32, kShort = 256, kAhead = 4096;
  for (; rows > 0; --rows, from += from_stride, to += to_stride) {
    if (bytes < kPiece || bytes > kShort) {
      std::memcpy(to, from, bytes);
      continue;
    }
    for (int64_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(from + i + kAhead);
    for (int64_t i = 0; i + kPiece < bytes; i += kPiece) std::memcpy(to + i, from + i, kPiece);
    std::memcpy(to + bytes - kPiece, from + bytes - kPiece, kPiece);
  }
}

}  // namespace

void convert_rows(ConstRows from, Rows to, int64_t rows, int64_t n) {
  if (from.stride == n && to.stride == n) {
    n *= rows;
    rows = 1;
  }
  if (from.dtype == to.dtype) {
    const int64_t size = size_bytes(to.dtype);
    return copy_rows(static_cast<const char*>(from.data), from.stride * size, static_cast<char*>(to.data),
                     to.stride * size, rows, n * size);
  }
  HWY_DYNAMIC_DISPATCH(convert_rows_kernel)(from, to, rows, n);
}

void round_to_tf32(float* values, int64_t n, Tf32Rounding rounding) {
  HWY_DYNAMIC_DISPATCH(round_to_tf32_kernel)(values, n, rounding);
}

}  // namespace faultline
#endif  // HWY_ONCE
