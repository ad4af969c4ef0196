// The exponents of operands (tensor_core_numerics.md 1), as fused steps on vectors take them.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_MMA_FUSED_DOT_EXPONENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_MMA_FUSED_DOT_EXPONENTS_INL_H_
#undef FAULTLINE_MMA_FUSED_DOT_EXPONENTS_INL_H_
#else
#define FAULTLINE_MMA_FUSED_DOT_EXPONENTS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "engine/mma/vector_rule.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using DU8 = hn::Repartition<uint8_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;
using VU8 = hn::Vec<DU8>;

constexpr int kVectors = 4;     // of f32, the columns of a panel: one vector of 8-bit exponents
constexpr int kDenseShift = 2;  // of the place of a panel's vectors, to that of their exponents

HWY_INLINE VI Field(VF value) {
  const DU du;
  return hn::BitCast(DI(), hn::ShiftRight<24>(hn::ShiftLeft<1>(hn::BitCast(du, value))));
}

// Biased exponents of operands; those of subnormals are the format's smallest.
HWY_INLINE VI Exponents(VF value, int smallest_field) {
  const DI di;
  const VI field = Field(value);
  const VI exponent = hn::Max(field, hn::Set(di, smallest_field));
  const auto zero = hn::RebindMask(di, hn::Eq(value, hn::Zero(DF())));
  const auto special = hn::Eq(field, hn::Set(di, 255));
  return hn::IfThenElse(special, hn::Set(di, kSpecial), hn::IfThenElse(zero, hn::Set(di, kZero), exponent));
}

// Writes those of n values, less `bias`.
inline void WriteExponents(const float* values, int64_t n, int smallest_field, int bias, int32_t* exponents) {
  const DF df;
  const DI di;
  const int64_t lanes = hn::Lanes(df);
  const auto write = [&](const float* from, int32_t* to) HWY_ATTR {
    hn::StoreU(hn::Sub(Exponents(hn::LoadU(df, from), smallest_field), hn::Set(di, bias)), di, to);
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) write(values + i, exponents + i);
  float rest[hn::MaxLanes(df)] = {};
  int32_t rest_exponents[hn::MaxLanes(df)];
  std::copy(values + i, values + n, rest);
  write(rest, rest_exponents);
  std::copy_n(rest_exponents, n - i, exponents + i);
}

// The bits of a value without its sign, one place up.
HWY_INLINE VU Magnitude(VF value) { return hn::ShiftLeft<1>(hn::BitCast(DU(), value)); }

// The range of exponents of values seen one vector at a time.
class RangeOf {
 public:
  HWY_INLINE RangeOf() : smallest_(hn::Set(DU(), ~0u)), largest_(hn::Zero(DU())) {}

  // A zero's magnitude less one is above all.
  HWY_INLINE void add(VF value) {
    const VU magnitude = Magnitude(value);
    smallest_ = hn::Min(smallest_, hn::Sub(magnitude, hn::Set(DU(), 1)));
    largest_ = hn::Max(largest_, magnitude);
  }

  ExponentRange range(int smallest_field) const {
    const DU du;
    HWY_ALIGN uint32_t smallest[hn::MaxLanes(du)], largest[hn::MaxLanes(du)];
    hn::Store(smallest_, du, smallest);
    hn::Store(largest_, du, largest);
    const int n = hn::Lanes(du);
    const uint32_t low = *std::min_element(smallest, smallest + n) + 1;
    const int first = low >> 24, last = *std::max_element(largest, largest + n) >> 24;
    if (low == 0) return {};
    return {std::max(first, smallest_field), std::max(last, smallest_field), first > 0 && last < 255};
  }

 private:
  VU smallest_, largest_;
};

inline ExponentRange RangeOfAll(const float* values, int64_t n, int smallest_field) {
  const DF df;
  const int64_t lanes = hn::Lanes(df);
  RangeOf range;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) range.add(hn::LoadU(df, values + i));
  float rest[hn::MaxLanes(df)] = {};
  std::copy(values + i, values + n, rest);
  range.add(hn::LoadU(df, rest));
  return range.range(smallest_field);
}

// Exponents in 8 bits: the sum of a left operand's and a right one's is the product's, biased as in f32.
//
// Of left operands those over `smallest`, each four times. A zero's is not defined.
HWY_INLINE VI LeftExponents8(VF value, int smallest_field, int smallest) {
  const DI di;
  const VI one = hn::Sub(hn::Max(Field(value), hn::Set(di, smallest_field)), hn::Set(di, smallest));
  const VI two = hn::Or(one, hn::ShiftLeft<8>(one));
  return hn::Or(two, hn::ShiftLeft<16>(two));
}

// Those of right operands, the vectors side by side; a zero's is 0.
class RightExponents8 {
 public:
  RightExponents8(int smallest_field, int left_smallest)
      : smallest_field_(hn::Set(DU8(), static_cast<uint8_t>(smallest_field))),
        offset_(hn::Set(DU8(), static_cast<uint8_t>(left_smallest - kBias))) {}

  template <int vectors>
  HWY_INLINE VU of(const VF (&values)[vectors]) const {
    VU fields = FieldAt<0>(values[0]);
    if constexpr (vectors > 1) fields = hn::Or(fields, FieldAt<8>(values[1]));
    if constexpr (vectors > 2) fields = hn::Or(fields, FieldAt<16>(values[2]));
    if constexpr (vectors > 3) fields = hn::Or(fields, FieldAt<24>(values[3]));
    const VU8 bytes = hn::BitCast(DU8(), fields);
    const VU8 exponents = hn::Add(hn::Max(bytes, smallest_field_), offset_);
    return hn::BitCast(DU(), hn::IfThenZeroElse(hn::Eq(bytes, hn::Zero(DU8())), exponents));
  }

 private:
  template <int bit>
  static HWY_INLINE VU FieldAt(VF value) {
    return hn::ShiftLeft<bit>(hn::ShiftRight<24>(Magnitude(value)));
  }

  VU8 smallest_field_, offset_;
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_MMA_FUSED_DOT_EXPONENTS_INL_H_
