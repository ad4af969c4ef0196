// Fused steps (tensor_core_numerics.md 1) of many chains at once, on vectors.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_
#undef FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_
#else
#define FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_
#endif

#include "engine/mma/fused_dot_exponents-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

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

// The exponent (and what bits below it) of the larger magnitude.
HWY_INLINE VF LargerMagnitude(VF a, VF b) {
#if HWY_TARGET == HWY_AVX3
  return VF{_mm512_range_ps(a.raw, b.raw, 0b1011)};
#else
  const DI di;
  return hn::BitCast(DF(), hn::Max(hn::BitCast(di, hn::Abs(a)), hn::BitCast(di, hn::Abs(b))));
#endif
}

// How the exact sum of a step becomes the next accumulator, scaled by `unit`. A zero is +0.
//
// f32: cut toward zero, which is how the processor rounds now. No sum vanishes: in range, results are normal.
struct ToF32 {
  static constexpr bool kF16 = false;
  static HWY_INLINE VF convert(const VectorRule&, VI sum, VF unit) {
    return hn::Mul(hn::ConvertTo(DF(), sum), unit);
  }
};

// The same, to the fraction that the rule keeps.
struct ToShortF32 {
  static constexpr bool kF16 = false;
  static HWY_INLINE VF convert(const VectorRule& rule, VI sum, VF unit) {
    const DU du;
    const VU kept = hn::And(hn::BitCast(du, hn::ConvertTo(DF(), sum)), hn::Set(du, rule.keep));
    return hn::Mul(hn::BitCast(DF(), kept), unit);
  }
};

// f16: to nearest even. A sum that f32 does not hold is rounded to odd first, to 16 bits or more, which leaves that
// rounding to be the only one (Boldo and Melquiond 2008). A negative sum may vanish: adding +0 takes the sign.
struct ToF16 {
  static constexpr bool kF16 = true;
  static HWY_INLINE VF convert(const VectorRule&, VI sum, VF unit) {
    const DI di;
    const hn::Rebind<hwy::float16_t, DF> df16;
    const VI low = hn::Set(di, 0xff);
    const VI odd = hn::AndNot(low, hn::Or(sum, hn::Add(hn::And(sum, low), low)));
    const auto large = hn::Gt(hn::Abs(sum), hn::Set(di, 1 << 24));
    const VF value = hn::ConvertTo(DF(), hn::IfThenElse(large, odd, sum));
    const VF result = hn::PromoteTo(DF(), hn::DemoteTo(df16, hn::Mul(value, unit)));
    return hn::Add(result, hn::Zero(DF()));
  }
};

// What cuts a product toward zero to a multiple of 2^(E - kept_bits) as an integer, E of these fields.
HWY_INLINE VF ScaleOf(const VectorRule& rule, VF largest) {
  const DI di;
  const int32_t one = (2 * kBias + rule.rule.kept_bits) << 23;
  const VI scale = hn::Sub(hn::Set(di, one | 0x7fffff), hn::BitCast(di, largest));  // nothing is borrowed
  return hn::BitCast(DF(), hn::AndNot(hn::Set(di, 0x7fffff), scale));
}

HWY_INLINE VF UnitOf(VF scale) {
  const DI di;
  return hn::BitCast(DF(), hn::Sub(hn::Set(di, 2 * kBias << 23), hn::BitCast(di, scale)));
}

// One step of one row: the terms that are not zero.
struct LeftTerms {
  const float* values;
  const int32_t* exponents;  // of four vectors side by side
  const int32_t* at;         // where their right operands are in the panel
  int64_t count;
};

// Columns of b for some terms of the chains.
struct Panel {
  int64_t begin = 0, columns = 0;  // the first one, and how many there are beside padding
  const float* values = nullptr;
  const uint32_t* exponents = nullptr;  // of four vectors side by side, at the place of the first
  int exponent_shift = 0;               // shifted right by so much
  bool in_range = false;
};

// All terms of a step of one row, and where their right operands are.
struct StepTerms {
  const float* left;
  const int32_t* at;
  int64_t count;
};

// Replaces the results that vectors cannot take by those of the plain model, in which the processor's rounding has
// no say. `slow` says which; c are the accumulators before. Returns how many there were.
inline HWY_NOINLINE int64_t StepSlowly(const StepRule& rule, const StepTerms& terms, const float* right,
                                       int64_t columns, const VI slow, const float* c, float* results) {
  const DI di;
  HWY_ALIGN int32_t is_slow[hn::MaxLanes(di)];
  hn::Store(slow, di, is_slow);
  float column[kMostTerms];
  int64_t count = 0;
  for (int64_t j = 0; j < std::min<int64_t>(columns, hn::Lanes(di)); ++j) {
    if (is_slow[j] == 0) continue;
    for (int64_t i = 0; i < terms.count; ++i) column[i] = right[terms.at[i] + j];
    results[j] = fused_dot_step(rule, terms.left, column, terms.count, c[j]);
    ++count;
  }
  return count;
}

// The magnitude whose exponent an f16 accumulator has: a subnormal's is the smallest normal one's.
HWY_INLINE VF F16Magnitude(VF c) {
  const DF df;
  const VF magnitude = hn::Max(hn::Abs(c), hn::Set(df, 0x1p-14f));
  return hn::IfThenZeroElse(hn::Eq(c, hn::Zero(df)), magnitude);
}

// Byte v of each lane of `exponents` as the exponent of a float; other bits are not cleared.
template <int v>
HWY_INLINE VF ExponentAt(VU exponents) {
  const DF df;
  if constexpr (v == 3)
    return hn::BitCast(df, hn::ShiftRight<1>(exponents));
  else
    return hn::BitCast(df, hn::ShiftLeft<23 - 8 * v>(exponents));
}

// Of four vectors of a panel side by side, where a term meets them.
HWY_INLINE VU8 RightExponentsAt(const Panel& panel, int32_t at) {
  return hn::BitCast(DU8(), hn::LoadU(DU(), panel.exponents + (at >> panel.exponent_shift)));
}

// Rows whose terms have the same places, `rows` of them.
template <int rows>
HWY_INLINE void LargestExponents(const VectorRule& rule, const LeftTerms* left, const Panel& right,
                                 VU8 (&largest)[rows]) {
  const DU8 du8;
  for (int r = 0; r < rows; ++r) largest[r] = hn::Set(du8, static_cast<uint8_t>(rule.lowest));
#pragma GCC unroll 4
  for (int64_t i = 0; i < left->count; ++i) {
    const VU8 b = RightExponentsAt(right, left->at[i]);
#pragma GCC unroll 2
    for (int r = 0; r < rows; ++r) {
      const VU8 a = hn::BitCast(du8, hn::Set(DI(), left[r].exponents[i]));
      largest[r] = hn::Max(largest[r], hn::Add(a, b));
    }
  }
}

// Stores the accumulators after a step. `before` those that are infinite or NaN, which f16 ones can be, the plain
// model takes it. Returns how many there were.
template <class Result>
HWY_INLINE int64_t Finish(const VectorRule& rule, VI sum, VF scale, const StepTerms& terms,
                          const float* right, int64_t columns, float* HWY_RESTRICT c) {
  const DF df;
  const VF result = Result::convert(rule, sum, UnitOf(scale));
  if constexpr (Result::kF16) {
    const VF before = hn::LoadU(df, c);
    const auto special = hn::Not(hn::Lt(hn::Abs(before), hn::Set(df, 0x1p16f)));
    if (HWY_UNLIKELY(!hn::AllFalse(df, special))) {
      HWY_ALIGN float old[hn::MaxLanes(df)];
      hn::Store(before, df, old);
      hn::StoreU(result, df, c);
      return StepSlowly(rule.rule, terms, right, columns,
                        hn::VecFromMask(DI(), hn::RebindMask(DI(), special)), old, c);
    }
  }
  hn::StoreU(result, df, c);
  return 0;
}

// Takes one step of some rows, whose terms have the same places, over `vectors` vectors of columns, where all is in
// range but f16 accumulators that are infinite or NaN. Returns how many elements were slow.
template <int rows, int vectors, class Result>
HWY_INLINE int64_t Step(const VectorRule& rule, const LeftTerms* left, const StepTerms* terms, const Panel& b,
                        float* HWY_RESTRICT c) {
  const DF df;
  const int64_t lanes = hn::Lanes(df), width = kVectors * lanes;
  VU8 largest[rows];
  LargestExponents<rows>(rule, left, b, largest);
  VF scale[rows][vectors];
  VI sum[rows][vectors];
  const auto start = [&]<int v>(int r) HWY_ATTR {
    if constexpr (v < vectors) {
      const VF before = hn::LoadU(df, c + r * width + v * lanes);
      const VF of_c = Result::kF16 ? F16Magnitude(before) : before;
      scale[r][v] = ScaleOf(rule, LargerMagnitude(ExponentAt<v>(hn::BitCast(DU(), largest[r])), of_c));
      sum[r][v] = CutToInteger(hn::Mul(before, scale[r][v]));
    }
  };
#pragma GCC unroll 2
  for (int r = 0; r < rows; ++r) {
    start.template operator()<0>(r);
    start.template operator()<1>(r);
    start.template operator()<2>(r);
    start.template operator()<3>(r);
  }
  for (int64_t i = 0; i < left->count; ++i) {
    const float* column = b.values + left->at[i];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const VF right = hn::LoadU(df, column + v * lanes);
#pragma GCC unroll 2
      for (int r = 0; r < rows; ++r) {
        const VF product = hn::Mul(hn::Set(df, left[r].values[i]), right);
        sum[r][v] = hn::Add(sum[r][v], CutToInteger(hn::Mul(product, scale[r][v])));
      }
    }
  }
  int64_t slow = 0;
#pragma GCC unroll 2
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      slow += Finish<Result>(rule, sum[r][v], scale[r][v], terms[r], b.values + v * lanes,
                             b.columns - v * lanes, c + r * width + v * lanes);
    }
  }
  return slow;
}

HWY_INLINE auto OutOfRange(const VectorRule& rule, VI exponent) {
  const DI di;
  const auto below =
      hn::And(hn::Lt(exponent, hn::Set(di, rule.lowest)), hn::Gt(exponent, hn::Set(di, kAnyZero)));
  return hn::Or(below, hn::Gt(exponent, hn::Set(di, rule.highest)));
}

HWY_INLINE VI AccumulatorExponent(const VectorRule& rule, VF c) {
  const DI di;
  const auto zero = hn::RebindMask(di, hn::Eq(c, hn::Zero(DF())));
  return hn::IfThenElse(zero, hn::Set(di, kNone), hn::Max(Field(c), hn::Set(di, rule.accumulator_field)));
}

// The same step of one vector of columns where exponents may be out of range and sums beyond int32.
template <class Result>
HWY_NOINLINE int64_t CheckedStep(const VectorRule& rule, const StepTerms& terms,
                                 const int32_t* left_exponents, const float* right, int64_t columns,
                                 float* HWY_RESTRICT c) {
  const DF df;
  const DI di;
  const VF before = hn::LoadU(df, c);
  VI largest = hn::Set(di, rule.start);
  for (int64_t i = 0; i < terms.count; ++i) {
    const VI exponent = Exponents(hn::LoadU(df, right + terms.at[i]), rule.operand_field);
    largest = hn::Max(largest, hn::Add(hn::Set(di, left_exponents[i]), exponent));
  }
  VI exponent = hn::Max(largest, AccumulatorExponent(rule, before));
  auto slow = OutOfRange(rule, exponent);
  exponent = hn::Max(exponent, hn::Set(di, rule.lowest));
  const VF scale = ScaleOf(rule, hn::BitCast(df, hn::ShiftLeft<23>(exponent)));
  VI sum = hn::Zero(di);
  for (int64_t i = 0; i < terms.count; ++i) {
    const VF product = hn::Mul(hn::Set(df, terms.left[i]), hn::LoadU(df, right + terms.at[i]));
    sum = hn::Add(sum, CutToInteger(hn::Mul(product, scale)));
  }
  slow = hn::Or(slow, hn::Gt(hn::Abs(sum), hn::Set(di, rule.largest_sum)));
  sum = hn::Add(sum, CutToInteger(hn::Mul(before, scale)));
  HWY_ALIGN float old[hn::MaxLanes(df)];
  hn::Store(before, df, old);
  hn::StoreU(Result::convert(rule, sum, UnitOf(scale)), df, c);
  if (hn::AllFalse(di, slow)) return 0;
  return StepSlowly(rule.rule, terms, right, columns, hn::VecFromMask(di, slow), old, c);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_MMA_FUSED_DOT_STEPS_INL_H_
