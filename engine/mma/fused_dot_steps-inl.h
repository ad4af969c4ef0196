// Fused steps (tensor_core_numerics.md 1) of many chains at once, on vectors.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_
#undef FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_
#else
#define FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "engine/mma/vector_rule.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<DF>;
using DI16 = hn::Repartition<int16_t, DF>;
using DI16Half = hn::Half<DI16>;
using DF64 = hn::Repartition<double, DF>;
using DU64 = hn::RebindToUnsigned<DF64>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VI16 = hn::Vec<DI16>;

constexpr int kVectors = 2;  // of f32, the columns of a panel: one vector of 16-bit exponents
constexpr int kRows = HWY_TARGET == HWY_AVX2 ? 2 : 4;  // whose sums and scales fill the registers

// Toward zero. Highway's ConvertTo spends three more operations on values that no aligned term has.
HWY_INLINE VI CutToInteger(VF value) {
#if HWY_TARGET == HWY_AVX2
  return VI{_mm256_cvttps_epi32(value.raw)};
#elif HWY_TARGET == HWY_AVX3
  return VI{_mm512_cvttps_epi32(value.raw)};
#else
  return hn::ConvertTo(DI(), value);
#endif
}

HWY_INLINE VI Field(VF value) {
  const hn::RebindToUnsigned<DF> du;
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

// The same of two vectors, in 16 bits.
HWY_INLINE VI16 Exponents16(VF low, VF high, int smallest_field) {
  const DI16 di16;
  const DI16Half half;
  const auto both = [&](VI l, VI h)
                        HWY_ATTR { return hn::Combine(di16, hn::DemoteTo(half, h), hn::DemoteTo(half, l)); };
  const auto is_zero = [](VF value) HWY_ATTR {
    return hn::VecFromMask(DI(), hn::RebindMask(DI(), hn::Eq(value, hn::Zero(DF()))));
  };
  const VI16 field = both(Field(low), Field(high));
  const auto zero = hn::MaskFromVec(both(is_zero(low), is_zero(high)));
  const VI16 exponent = hn::Max(field, hn::Set(di16, static_cast<int16_t>(smallest_field)));
  const auto special = hn::Eq(field, hn::Set(di16, 255));
  return hn::IfThenElse(special, hn::Set(di16, kSpecial),
                        hn::IfThenElse(zero, hn::Set(di16, kZero), exponent));
}

// The range of exponents (in lanes of type D) seen one vector at a time. Read as unsigned, a zero's is above
// all.
template <class D>
class RangeOf {
 public:
  HWY_INLINE RangeOf() : smallest_(hn::Set(Unsigned(), kSpecial)), largest_(hn::Set(D(), kNone)) {}

  HWY_INLINE void add(hn::Vec<D> exponents) {
    smallest_ = hn::Min(smallest_, hn::BitCast(Unsigned(), exponents));
    largest_ = hn::Max(largest_, exponents);
  }

  ExponentRange range() const {
    const D d;
    HWY_ALIGN hn::TFromD<D> smallest[hn::MaxLanes(d)], largest[hn::MaxLanes(d)];
    hn::Store(hn::BitCast(d, smallest_), d, smallest);
    hn::Store(largest_, d, largest);
    ExponentRange range;
    for (size_t i = 0; i < hn::Lanes(d); ++i) {
      if (smallest[i] != kZero) range.smallest = std::min<int>(range.smallest, smallest[i]);
      range.largest = std::max<int>(range.largest, largest[i]);
    }
    return range;
  }

 private:
  using Unsigned = hn::RebindToUnsigned<D>;
  hn::Vec<Unsigned> smallest_;
  hn::Vec<D> largest_;
};

// Writes the biased exponents of n values, at least a panel's width. Returns their range.
inline ExponentRange PackExponents16(const float* values, int64_t n, int smallest_field, int16_t* exponents) {
  const DF df;
  const int64_t lanes = hn::Lanes(df), width = kVectors * lanes;
  RangeOf<DI16> range;
  for (int64_t i = 0; i < n; i += width) {
    const int64_t at = std::min(i, n - width);  // the last vectors overlap
    const VI16 exponent =
        Exponents16(hn::LoadU(df, values + at), hn::LoadU(df, values + at + lanes), smallest_field);
    range.add(exponent);
    hn::StoreU(exponent, DI16(), exponents + at);
  }
  return range.range();
}

// Writes the unbiased exponents of n values, each twice in 32 bits, so that one load broadcasts it to 16-bit
// lanes. Returns the range of the biased ones.
inline ExponentRange PackExponentPairs(const float* values, int64_t n, int smallest_field,
                                       int32_t* exponents) {
  const DF df;
  const DI di;
  const int64_t lanes = hn::Lanes(df);
  RangeOf<DI> range;
  const auto pairs = [&](VF value) HWY_ATTR {
    const VI biased = Exponents(value, smallest_field), exponent = hn::Sub(biased, hn::Set(di, kBias));
    range.add(biased);
    return hn::Or(hn::ShiftLeft<16>(exponent), hn::And(exponent, hn::Set(di, 0xffff)));
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(pairs(hn::LoadU(df, values + i)), di, exponents + i);
  HWY_ALIGN float rest[hn::MaxLanes(df)] = {};
  HWY_ALIGN int32_t rest_pairs[hn::MaxLanes(df)];
  std::copy(values + i, values + n, rest);
  hn::Store(pairs(hn::Load(df, rest)), di, rest_pairs);
  std::copy_n(rest_pairs, n - i, exponents + i);
  return range.range();
}

// Some rows of a and a panel of columns of b, whose element (k, j) is at step[k] + j of values and exponents,
// and their accumulators. Of the panel's columns the first `columns` are not padding.
template <int rows>
struct Block {
  const float* a;              // element (i, k) at k * rows + i
  const int32_t* a_exponents;  // likewise
  const float* b;
  const int16_t* b_exponents;
  const int64_t* step;
  float* c;  // row by row, a panel's width each
  int64_t columns;
};

// The exact sum of aligned products and accumulator, undone the scale.
//
// f32: cut toward zero, which is how the processor rounds now, to the fraction that the rule keeps.
HWY_INLINE VF ToF32(const VectorRule& rule, VI products, VI accumulator, VF unit) {
  const DF df;
  const hn::RebindToUnsigned<DF> du;
  const VF sum = hn::ConvertTo(df, hn::Add(products, accumulator));
  return hn::Mul(hn::BitCast(df, hn::And(hn::BitCast(du, sum), hn::Set(du, rule.keep))), unit);
}

// f16: to nearest even. Rounding the sum to odd first, in f32, leaves that rounding to be the only one (Boldo
// and Melquiond 2008).
HWY_INLINE VF ToF16(VI products, VI accumulator, VF unit) {
  const DF df;
  const DF64 df64;
  const DU64 du64;
  const hn::Half<DI> half_i;
  const hn::Half<DF> half_f;
  const auto keep = hn::Set(du64, ~((uint64_t{1} << 29) - 1));
  const auto half = [&](auto product_sum, auto start) HWY_ATTR {
    const auto sum = hn::BitCast(du64, hn::Add(hn::PromoteTo(df64, product_sum), hn::PromoteTo(df64, start)));
    const auto odd = hn::Or(sum, hn::Add(hn::AndNot(keep, sum), hn::Not(keep)));
    return hn::DemoteTo(half_f, hn::BitCast(df64, hn::And(odd, keep)));
  };
  const auto low = half(hn::LowerHalf(half_i, products), hn::LowerHalf(half_i, accumulator));
  const auto high = half(hn::UpperHalf(half_i, products), hn::UpperHalf(half_i, accumulator));
  const hn::Rebind<hwy::float16_t, DF> df16;
  return hn::PromoteTo(df, hn::DemoteTo(df16, hn::Mul(hn::Combine(df, high, low), unit)));
}

HWY_INLINE VI HalfOf(VI16 values, int v) {
  const DI16Half half;
  return hn::PromoteTo(DI(), v == 0 ? hn::LowerHalf(half, values) : hn::UpperHalf(half, values));
}

// Unchecked, c is 0 or normal, and a 0 has no say in a chain whose products are in range.
template <bool checked>
HWY_INLINE VI AccumulatorExponent(const VectorRule& rule, const float* from) {
  const DI di;
  const VF c = hn::LoadU(DF(), from);
  const VI field = Field(c);
  if (!checked) return field;
  const auto zero = hn::RebindMask(di, hn::Eq(c, hn::Zero(DF())));
  return hn::IfThenElse(zero, hn::Set(di, kNone), hn::Max(field, hn::Set(di, rule.accumulator_field)));
}

HWY_INLINE auto OutOfRange(const VectorRule& rule, VI exponent) {
  const DI di;
  const auto below =
      hn::And(hn::Lt(exponent, hn::Set(di, rule.lowest)), hn::Gt(exponent, hn::Set(di, kAnyZero)));
  return hn::Or(below, hn::Gt(exponent, hn::Set(di, rule.highest)));
}

// What a step of some rows gives, and which elements vectors cannot take, because an exponent is out of range
// or the sum is beyond int32.
template <int rows>
struct Outcome {
  HWY_ALIGN float results[rows][kVectors * hn::MaxLanes(DF())];
  HWY_ALIGN int32_t slow[rows][kVectors * hn::MaxLanes(DI())];
};

// Writes the outcome, with the slow elements by the plain model; the processor's rounding has no say in its f32
// results. Returns how many there were.
template <int rows, int count>
HWY_NOINLINE int64_t WriteSlowly(const StepRule& rule, const Block<rows>& block, int first, int64_t begin,
                                 int64_t end, const Outcome<count>& outcome) {
  const int64_t width = kVectors * hn::Lanes(DF());
  int64_t slow = 0;
  float left[kMostTerms], right[kMostTerms];
  for (int i = 0; i < count; ++i) {
    for (int64_t k = begin; k < end; ++k) left[k - begin] = block.a[k * rows + first + i];
    float* c = block.c + (first + i) * width;
    for (int64_t j = 0; j < width; ++j) {
      if (outcome.slow[i][j] == 0) {
        c[j] = outcome.results[i][j];
      } else if (j < block.columns) {
        for (int64_t k = begin; k < end; ++k) right[k - begin] = block.b[block.step[k] + j];
        c[j] = fused_dot_step(rule, left, right, end - begin, c[j]);
        ++slow;
      }
    }
  }
  return slow;
}

// Calls body(k) for k in [begin, end).
template <class Body>
HWY_INLINE void ForTerms(int64_t begin, int64_t end, const Body& body) {
#pragma GCC unroll 4
  for (int64_t k = begin; k < end; ++k) body(k);
}

template <int rows>
HWY_INLINE void LargestExponents(const Block<rows>& block, int64_t begin, int64_t end, VI16 start,
                                 VI16 (&largest)[rows]) {
  const DI di;
  const DI16 di16;
  for (int i = 0; i < rows; ++i) largest[i] = start;
  const int16_t* b = block.b_exponents;
  const int32_t* a = block.a_exponents;
  const int64_t* step = block.step;
  ForTerms(begin, end, [&](int64_t k) HWY_ATTR {
    const VI16 right = hn::LoadU(di16, b + step[k]);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const VI16 left = hn::BitCast(di16, hn::Set(di, a[k * rows + i]));
      largest[i] = hn::Max(largest[i], hn::Add(left, right));
    }
  });
}

// Takes one step of as many rows as the registers hold, from `first` on; returns how many elements were slow.
// `checked` looks for exponents out of range.
template <int rows, bool checked, bool f16>
HWY_INLINE int64_t Step(const VectorRule& rule, const Block<rows>& block, int first, int64_t begin,
                        int64_t end, const VI16 (&largest)[rows]) {
  constexpr int kCount = rows < kRows ? rows : kRows;
  const DF df;
  const DI di;
  const int64_t lanes = hn::Lanes(df), width = kVectors * lanes;
  float* c = block.c + first * width;
  VF scale[kCount][kVectors];
  VI sum[kCount][kVectors];
  auto slow = hn::MaskFromVec(hn::Zero(di));
  hn::Mask<DI> bad[kCount][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const VI of_c = AccumulatorExponent<checked>(rule, c + i * width + v * lanes);
      VI exponent = hn::Max(HalfOf(largest[first + i], v), of_c);
      if (checked) {
        bad[i][v] = OutOfRange(rule, exponent);
        exponent = hn::Max(exponent, hn::Set(di, rule.lowest));
      }
      const VI aligning = hn::Sub(hn::Set(di, 2 * kBias + rule.rule.kept_bits), exponent);
      scale[i][v] = hn::BitCast(df, hn::ShiftLeft<23>(aligning));
      sum[i][v] = hn::Zero(di);
    }
  }
  const float *a = block.a + first, *b = block.b;
  const int64_t* step = block.step;
  ForTerms(begin, end, [&](int64_t k) HWY_ATTR {
    const float* column = b + step[k];
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
      const VF left = hn::Set(df, a[k * rows + i]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const VF product = hn::Mul(left, hn::LoadU(df, column + v * lanes));
        sum[i][v] = hn::Add(sum[i][v], CutToInteger(hn::Mul(product, scale[i][v])));
      }
    }
  });
  VF result[kCount][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const VF before = hn::LoadU(df, c + i * width + v * lanes);
      const VI accumulator = CutToInteger(hn::Mul(before, scale[i][v]));
      const VF unit = hn::BitCast(df, hn::Sub(hn::Set(di, 2 * kBias << 23), hn::BitCast(di, scale[i][v])));
      const auto large = hn::Gt(hn::Abs(sum[i][v]), hn::Set(di, rule.largest_sum));
      bad[i][v] = checked ? hn::Or(bad[i][v], large) : large;
      slow = hn::Or(slow, bad[i][v]);
      result[i][v] = f16 ? ToF16(sum[i][v], accumulator, unit) : ToF32(rule, sum[i][v], accumulator, unit);
    }
  }
  if (HWY_UNLIKELY(!hn::AllFalse(di, slow))) {
    Outcome<kCount> outcome;
    for (int i = 0; i < kCount; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        hn::Store(result[i][v], df, outcome.results[i] + v * lanes);
        hn::Store(hn::VecFromMask(di, bad[i][v]), di, outcome.slow[i] + v * lanes);
      }
    }
    return WriteSlowly(rule.rule, block, first, begin, end, outcome);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) hn::StoreU(result[i][v], df, c + i * width + v * lanes);
  }
  return 0;
}

// Runs `depth` terms of the block's chains and returns how many of their steps were slow. Unless f16, the
// processor rounds toward zero: everything here is exact but the conversions that are to cut.
template <int rows, bool checked, bool f16>
HWY_NOINLINE int64_t RunSteps(const VectorRule& rule, const Block<rows>& block, int64_t depth) {
  const VI16 start = hn::Set(DI16(), static_cast<int16_t>(checked ? rule.start : rule.lowest));
  int64_t slow = 0;
  for (int64_t begin = 0; begin < depth; begin += rule.rule.terms) {
    const int64_t end = std::min<int64_t>(begin + rule.rule.terms, depth);
    VI16 largest[rows];
    LargestExponents(block, begin, end, start, largest);
#pragma GCC unroll 2
    for (int first = 0; first < rows; first += kRows) {
      slow += Step<rows, checked, f16>(rule, block, first, begin, end, largest);
    }
  }
  return slow;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_
