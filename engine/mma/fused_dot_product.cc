#include "engine/mma/fused_dot_product.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/mma/fused_dot_product.cc"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef FAULTLINE_MMA_FUSED_DOT_PRODUCT_CC_
#define FAULTLINE_MMA_FUSED_DOT_PRODUCT_CC_
namespace faultline {

// Exponents are sums of one that is biased as in f32 and one that is not, so that they compare with the
// accumulator's field. A zero is below every exponent and an infinity or a NaN above, whatever is added.
constexpr int kBias = 127, kZero = -8192, kSpecial = 16383, kNone = -16384;
// Between the sums with a zero and the smallest other one.
constexpr int kAnyZero = -4096;

constexpr int64_t kDepth = 256;  // of a block of b that stays in the L1 cache: whole steps

// A rule as the vectors use it. Exponents E from `lowest` to `highest` are in range: then every product that
// f32 does not hold exactly lies below the quantum 2^(E - kept_bits), and results are normal.
struct VectorRule {
  explicit VectorRule(const StepRule& rule)
      : rule(rule),
        lowest(std::max(rule.floor, rule.kept_bits - 123) + kBias),
        start(rule.floor + kBias == lowest ? lowest : kNone),
        operand_field(smallest_exponent(rule.input) + kBias),
        accumulator_field(smallest_exponent(rule.accumulate) + kBias),
        // No chain of products of these inputs leaves the range of f32.
        in_range(info(rule.input).exponent_bits <= 5 && rule.accumulate == Dtype::kF32),
        keep(~((uint64_t{1} << (52 - rule.result_fraction)) - 1)) {}
  StepRule rule;
  int lowest, highest = 100 + kBias;
  int start;                             // of the search for the largest exponent, where it is checked
  int operand_field, accumulator_field;  // of the smallest normal value
  bool in_range;
  uint64_t keep;  // of the fraction of an f64
};

std::atomic<int64_t> steps_taken{0}, slow_steps_taken{0};

}  // namespace faultline
#endif  // FAULTLINE_MMA_FUSED_DOT_PRODUCT_CC_

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

// Exponents of operands; those of subnormals are the format's smallest.
HWY_INLINE VI Exponents(VF value, int smallest_field, int bias) {
  const DI di;
  const VI field = Field(value);
  const VI exponent = hn::Sub(hn::Max(field, hn::Set(di, smallest_field)), hn::Set(di, bias));
  const auto zero = hn::RebindMask(di, hn::Eq(value, hn::Zero(DF())));
  const auto special = hn::Eq(field, hn::Set(di, 255));
  return hn::IfThenElse(special, hn::Set(di, kSpecial), hn::IfThenElse(zero, hn::Set(di, kZero), exponent));
}

// Packs `depth` rows of a panel of b: the values, padded with zeros, and their biased exponents. Returns
// whether all are finite.
bool PackPanel(const float* b, int64_t ld, int64_t depth, int64_t columns, int smallest_field, float* values,
               int16_t* exponents) {
  const DF df;
  const DI16Half half;
  const int64_t lanes = hn::Lanes(df), width = kVectors * lanes;
  auto largest = hn::Set(half, kNone);
  for (int64_t k = 0; k < depth; ++k, b += ld, values += width, exponents += width) {
    std::memcpy(values, b, columns * sizeof(float));
    std::fill(values + columns, values + width, 0.0f);
    for (int v = 0; v < kVectors; ++v) {
      const VF value = hn::LoadU(df, values + v * lanes);
      const auto exponent = hn::DemoteTo(half, Exponents(value, smallest_field, 0));
      largest = hn::Max(largest, exponent);
      hn::StoreU(exponent, half, exponents + v * lanes);
    }
  }
  return hn::AllTrue(half, hn::Lt(largest, hn::Set(half, kSpecial)));
}

// Writes the unbiased exponents of n values of a, each twice in 32 bits, so that one load broadcasts it to
// 16-bit lanes. Returns whether all are finite.
bool PackExponents(const float* a, int64_t n, int smallest_field, int32_t* exponents) {
  const DF df;
  const DI di;
  const int64_t lanes = hn::Lanes(df);
  VI largest = hn::Set(di, kNone);
  const auto pairs = [&](VF value) HWY_ATTR {
    const VI exponent = Exponents(value, smallest_field, kBias);
    largest = hn::Max(largest, exponent);
    return hn::Or(hn::ShiftLeft<16>(exponent), hn::And(exponent, hn::Set(di, 0xffff)));
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(pairs(hn::LoadU(df, a + i)), di, exponents + i);
  HWY_ALIGN float rest[hn::MaxLanes(df)] = {};
  HWY_ALIGN int32_t rest_pairs[hn::MaxLanes(df)];
  std::copy(a + i, a + n, rest);
  hn::Store(pairs(hn::Load(df, rest)), di, rest_pairs);
  std::copy_n(rest_pairs, n - i, exponents + i);
  return hn::AllTrue(di, hn::Lt(largest, hn::Set(di, kSpecial)));
}

// Some rows of a, with as many k as the packed panel of b has, and their accumulators. Of the panel's columns
// the first `columns` are not padding.
template <int rows>
struct Block {
  const float* a[rows];
  const int32_t* a_exponents[rows];
  const float* b;
  const int16_t* b_exponents;
  float* c[rows];  // a panel's width each
  int64_t columns;
};

// The exact sum of aligned products and accumulator, undone the scale: cut toward zero, or rounded to nearest
// even in f16. Rounding the sum to odd first, in f32, leaves that rounding to be the only one (Boldo and
// Melquiond 2008).
template <bool f16>
HWY_INLINE VF Converted(const VectorRule& rule, VI products, VF c, VF scale) {
  const DF df;
  const DF64 df64;
  const DU64 du64;
  const DI di;
  const hn::Half<DI> half_i;
  const hn::Half<DF> half_f;
  const VI accumulator = CutToInteger(hn::Mul(c, scale));
  const VF unit = hn::BitCast(df, hn::Sub(hn::Set(di, 2 * kBias << 23), hn::BitCast(di, scale)));
  const auto keep = hn::Set(du64, rule.keep);
  const auto half = [&](auto product_sum, auto start) HWY_ATTR {
    const auto sum = hn::Add(hn::PromoteTo(df64, product_sum), hn::PromoteTo(df64, start));
    auto bits = hn::BitCast(du64, sum);
    if (f16) bits = hn::Or(bits, hn::Add(hn::AndNot(keep, bits), hn::Set(du64, ~rule.keep)));
    return hn::DemoteTo(half_f, hn::BitCast(df64, hn::And(bits, keep)));
  };
  const auto low = half(hn::LowerHalf(half_i, products), hn::LowerHalf(half_i, accumulator));
  const auto high = half(hn::UpperHalf(half_i, products), hn::UpperHalf(half_i, accumulator));
  const VF result = hn::Mul(hn::Combine(df, high, low), unit);
  if (!f16) return result;
  const hn::Rebind<hwy::float16_t, DF> df16;
  return hn::PromoteTo(df, hn::DemoteTo(df16, result));
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

template <class Mask, class Body>
HWY_NOINLINE void ForEachLane(Mask mask, const Body& body) {
  const DI di;
  HWY_ALIGN int32_t lanes[hn::MaxLanes(di)];
  hn::Store(hn::VecFromMask(di, mask), di, lanes);
  for (int64_t lane = 0; lane < hn::Lanes(di); ++lane) {
    if (lanes[lane] != 0) body(lane);
  }
}

// The elements of one step whose exponents are out of range, each taken by the plain model.
template <int rows>
class SlowElements {
 public:
  SlowElements(const VectorRule& rule, const Block<rows>& block) : rule_(rule.rule), block_(block) {}

  void add(int row, int64_t column, int64_t begin, int64_t end) {
    if (column >= block_.columns) return;
    float right[kMostTerms];
    for (int64_t k = begin; k < end; ++k)
      right[k - begin] = block_.b[k * kVectors * hn::Lanes(DF()) + column];
    float* c = block_.c[row] + column;
    elements_.push_back({c, fused_dot_step(rule_, block_.a[row] + begin, right, end - begin, *c)});
  }

  // Once the vectors have written theirs.
  void write() {
    for (const Element& element : elements_) *element.c = element.result;
    count_ += elements_.size();
    elements_.clear();
  }
  int64_t count() const { return count_; }

 private:
  struct Element {
    float* c;
    float result;
  };
  const StepRule& rule_;
  const Block<rows>& block_;
  std::vector<Element> elements_;
  int64_t count_ = 0;
};

template <int rows>
HWY_INLINE void LargestExponents(const Block<rows>& block, int64_t begin, int64_t end, VI16 start,
                                 VI16 (&largest)[rows]) {
  const DI di;
  const DI16 di16;
  for (int i = 0; i < rows; ++i) largest[i] = start;
  for (int64_t k = begin; k < end; ++k) {
    const VI16 right = hn::LoadU(di16, block.b_exponents + k * hn::Lanes(di16));
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const VI16 left = hn::BitCast(di16, hn::Set(di, block.a_exponents[i][k]));
      largest[i] = hn::Max(largest[i], hn::Add(left, right));
    }
  }
}

// Takes one step of as many rows as the registers hold, from `first` on.
template <int rows, bool checked, bool f16>
HWY_INLINE void Step(const VectorRule& rule, const Block<rows>& block, int first, int64_t begin, int64_t end,
                     const VI16 (&largest)[rows], SlowElements<rows>& slow) {
  constexpr int kCount = rows < kRows ? rows : kRows;
  const DF df;
  const DI di;
  const int64_t lanes = hn::Lanes(df), width = kVectors * lanes;
  const float *left[kCount], *right = block.b;
  for (int i = 0; i < kCount; ++i) left[i] = block.a[first + i];
  VF scale[kCount][kVectors];
  VI sum[kCount][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const VI of_c = AccumulatorExponent<checked>(rule, block.c[first + i] + v * lanes);
      VI exponent = hn::Max(HalfOf(largest[first + i], v), of_c);
      if (checked) {
        const auto bad = OutOfRange(rule, exponent);
        if (HWY_UNLIKELY(!hn::AllFalse(di, bad))) {
          ForEachLane(bad, [&](int64_t lane) { slow.add(first + i, v * lanes + lane, begin, end); });
        }
        exponent = hn::Max(exponent, hn::Set(di, rule.lowest));
      }
      const VI aligning = hn::Sub(hn::Set(di, 2 * kBias + rule.rule.kept_bits), exponent);
      scale[i][v] = hn::BitCast(df, hn::ShiftLeft<23>(aligning));
      sum[i][v] = hn::Zero(di);
    }
  }
  for (int64_t k = begin; k < end; ++k) {
    const float* column = right + k * width;
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
      const VF a = hn::Set(df, left[i][k]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const VF product = hn::Mul(a, hn::LoadU(df, column + v * lanes));
        sum[i][v] = hn::Add(sum[i][v], CutToInteger(hn::Mul(product, scale[i][v])));
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* c = block.c[first + i] + v * lanes;
      hn::StoreU(Converted<f16>(rule, sum[i][v], hn::LoadU(df, c), scale[i][v]), df, c);
    }
  }
}

// Runs `depth` terms of the block's chains and returns how many of their steps were slow.
template <int rows, bool checked, bool f16>
HWY_NOINLINE int64_t RunSteps(const VectorRule& rule, const Block<rows>& block, int64_t depth) {
  const VI16 start = hn::Set(DI16(), static_cast<int16_t>(checked ? rule.start : rule.lowest));
  SlowElements<rows> slow(rule, block);
  for (int64_t begin = 0; begin < depth; begin += rule.rule.terms) {
    const int64_t end = std::min<int64_t>(begin + rule.rule.terms, depth);
    VI16 largest[rows];
    LargestExponents(block, begin, end, start, largest);
#pragma GCC unroll 2
    for (int first = 0; first < rows; first += kRows) {
      Step<rows, checked, f16>(rule, block, first, begin, end, largest, slow);
    }
    if (checked) slow.write();
  }
  return slow.count();
}

template <int rows>
int64_t RunBlock(const VectorRule& rule, const Block<rows>& block, int64_t depth, bool checked) {
  if (rule.rule.accumulate == Dtype::kF16) return RunSteps<rows, true, true>(rule, block, depth);
  return checked ? RunSteps<rows, true, false>(rule, block, depth)
                 : RunSteps<rows, false, false>(rule, block, depth);
}

// The packed operands of one panel's block of k.
struct Panel {
  const float* a;
  const int32_t* a_exponents;
  int64_t K;
  const float* b;
  const int16_t* b_exponents;
  float* c;
  int64_t width, columns, depth;
  bool checked;
};

template <int rows>
int64_t RunRows(const VectorRule& rule, const Panel& panel, int64_t begin, int64_t end) {
  int64_t slow = 0;
  for (; begin + rows <= end; begin += rows) {
    Block<rows> block{{}, {}, panel.b, panel.b_exponents, {}, panel.columns};
    for (int i = 0; i < rows; ++i) {
      block.a[i] = panel.a + (begin + i) * panel.K;
      block.a_exponents[i] = panel.a_exponents + (begin + i) * panel.K;
      block.c[i] = panel.c + (begin + i) * panel.width;
    }
    slow += RunBlock<rows>(rule, block, panel.depth, panel.checked);
  }
  if constexpr (rows > 1) slow += RunRows<rows / 2>(rule, panel, begin, end);
  return slow;
}

// Returns how many steps were slow.
int64_t RunProduct(const StepRule& step_rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                   float* c) {
  const VectorRule rule(step_rule);
  const int64_t width = kVectors * hn::Lanes(DF()), depth = std::min(K, kDepth);
  const auto a_exponents = hwy::AllocateAligned<int32_t>(M * K);
  const auto values = hwy::AllocateAligned<float>(depth * width);
  const auto exponents = hwy::AllocateAligned<int16_t>(depth * width);
  const auto sums = hwy::AllocateAligned<float>(M * width);
  const bool a_finite = PackExponents(a, M * K, rule.operand_field, a_exponents.get());
  int64_t slow = 0;
  for (int64_t n = 0; n < N; n += width) {
    const int64_t columns = std::min(width, N - n);
    std::fill_n(sums.get(), M * width, 0.0f);
    bool finite = a_finite;
    for (int64_t k = 0; k < K; k += depth) {
      const int64_t terms = std::min(depth, K - k);
      finite &=
          PackPanel(b + k * N + n, N, terms, columns, rule.operand_field, values.get(), exponents.get());
      const Panel panel{
          a + k, a_exponents.get() + k,    K, values.get(), exponents.get(), sums.get(), width, columns,
          terms, !finite || !rule.in_range};
      slow += RunRows<2 * kRows>(rule, panel, 0, M);
    }
    for (int64_t m = 0; m < M; ++m) std::copy_n(sums.get() + m * width, columns, c + m * N + n);
  }
  return slow;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(RunProduct);

// A step's aligned products are below 2^(kept_bits + 2), their sum below 2^31.
bool sum_fits_int32(const StepRule& rule) { return int64_t{rule.terms} << (rule.kept_bits + 2) <= 1LL << 31; }

void plain_product(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                   float* c) {
  std::vector<float> column(K);
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) column[k] = b[k * N + n];
    for (int64_t m = 0; m < M; ++m) c[m * N + n] = fused_dot(rule, a + m * K, column.data(), K, 0.0f);
  }
}

}  // namespace

void fused_dot_product(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                       float* c) {
  int64_t slow = M * N * ((K + rule.terms - 1) / rule.terms);
  steps_taken += slow;
  if (sum_fits_int32(rule))
    slow = HWY_DYNAMIC_DISPATCH(RunProduct)(rule, M, N, K, a, b, c);
  else
    plain_product(rule, M, N, K, a, b, c);
  slow_steps_taken += slow;
}

FusedDotCounts fused_dot_counts() { return {steps_taken, slow_steps_taken}; }

}  // namespace faultline
#endif  // HWY_ONCE
