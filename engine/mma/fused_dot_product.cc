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

// The same of two vectors, biased, in 16 bits.
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

HWY_INLINE bool AllFinite(VI16 largest) {
  return hn::AllTrue(DI16(), hn::Lt(largest, hn::Set(DI16(), kSpecial)));
}

// Packs `depth` rows of a panel of b: the values, padded with zeros, and their biased exponents. Returns
// whether all are finite.
bool PackPanel(const float* b, int64_t ld, int64_t depth, int64_t columns, int smallest_field, float* values,
               int16_t* exponents) {
  const DF df;
  const int64_t lanes = hn::Lanes(df), width = kVectors * lanes;
  VI16 largest = hn::Set(DI16(), kNone);
  HWY_ALIGN float padded[kVectors * hn::MaxLanes(df)] = {};
  for (int64_t k = 0; k < depth; ++k, b += ld, values += width, exponents += width) {
    const float* row = b;
    if (columns < width) {
      std::copy_n(b, columns, padded);
      row = padded;
    }
    const VF low = hn::LoadU(df, row), high = hn::LoadU(df, row + lanes);
    const VI16 exponent = Exponents16(low, high, smallest_field);
    largest = hn::Max(largest, exponent);
    hn::StoreU(low, df, values);
    hn::StoreU(high, df, values + lanes);
    hn::StoreU(exponent, DI16(), exponents);
  }
  return AllFinite(largest);
}

// Writes the biased exponents of n values, at least a panel's width. Returns whether all are finite.
bool PackWindows(const float* values, int64_t n, int smallest_field, int16_t* exponents) {
  const DF df;
  const int64_t lanes = hn::Lanes(df), width = kVectors * lanes;
  VI16 largest = hn::Set(DI16(), kNone);
  for (int64_t i = 0; i < n; i += width) {
    const int64_t at = std::min(i, n - width);  // the last vectors overlap
    const VF low = hn::LoadU(df, values + at), high = hn::LoadU(df, values + at + lanes);
    const VI16 exponent = Exponents16(low, high, smallest_field);
    largest = hn::Max(largest, exponent);
    hn::StoreU(exponent, DI16(), exponents + at);
  }
  return AllFinite(largest);
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

// Some rows of a and a panel of columns of b, whose element (k, j) is at step[k] + j of values and exponents, and
// their accumulators. Of the panel's columns the first `columns` are not padding.
template <int rows>
struct Block {
  const float* a[rows];
  const int32_t* a_exponents[rows];
  const float* b;
  const int16_t* b_exponents;
  const int64_t* step;
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
    for (int64_t k = begin; k < end; ++k) right[k - begin] = block_.b[block_.step[k] + column];
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
    const VI16 right = hn::LoadU(di16, block.b_exponents + block.step[k]);
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
  const int64_t lanes = hn::Lanes(df);
  const float *left[kCount], *right = block.b;
  const int64_t* step = block.step;
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
    const float* column = right + step[k];
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

// A product by panels of columns: the rows of a with their exponents, and a panel's sums.
class Product {
 public:
  Product(const StepRule& rule, int64_t M, int64_t K, const float* a)
      : rule_(rule),
        M_(M),
        K_(K),
        width_(kVectors * hn::Lanes(DF())),
        a_(a),
        a_exponents_(hwy::AllocateAligned<int32_t>(M * K)),
        sums_(hwy::AllocateAligned<float>(M * width_)) {
    a_finite_ = PackExponents(a, M * K, rule_.operand_field, a_exponents_.get());
  }

  // b is dense: packed block by block.
  int64_t RunDense(int64_t N, const float* b, float* c) {
    const int64_t depth = std::min(K_, kDepth);
    const auto values = hwy::AllocateAligned<float>(depth * width_);
    const auto exponents = hwy::AllocateAligned<int16_t>(depth * width_);
    int64_t step[kDepth];
    for (int64_t k = 0; k < depth; ++k) step[k] = k * width_;
    ForPanels(N, c, [&](int64_t n, int64_t columns) {
      bool finite = a_finite_;
      for (int64_t k = 0; k < K_; k += depth) {
        const int64_t terms = std::min(depth, K_ - k);
        finite &=
            PackPanel(b + k * N + n, N, terms, columns, rule_.operand_field, values.get(), exponents.get());
        const Panel panel{values.get(), exponents.get(), step, k, terms, columns, !finite || !rule_.in_range};
        RunRows<2 * kRows>(panel, 0);
      }
    });
    return slow_steps_;
  }

  // The columns of b are windows into an image, read where they lie.
  int64_t RunWindows(int64_t N, const float* image, const int64_t* step, float* c) {
    const int64_t size = *std::max_element(step, step + K_) + (N + width_ - 1) / width_ * width_;
    const auto exponents = hwy::AllocateAligned<int16_t>(size);
    const bool finite = PackWindows(image, size, rule_.operand_field, exponents.get()) && a_finite_;
    ForPanels(N, c, [&](int64_t n, int64_t columns) {
      const Panel panel{image + n, exponents.get() + n, step, 0, K_, columns, !finite || !rule_.in_range};
      RunRows<2 * kRows>(panel, 0);
    });
    return slow_steps_;
  }

 private:
  // A panel of b, and the block of k that it holds.
  struct Panel {
    const float* b;
    const int16_t* b_exponents;
    const int64_t* step;
    int64_t k, depth, columns;
    bool checked;
  };

  template <class Body>
  void ForPanels(int64_t N, float* c, const Body& body) {
    for (int64_t n = 0; n < N; n += width_) {
      const int64_t columns = std::min(width_, N - n);
      std::fill_n(sums_.get(), M_ * width_, 0.0f);
      body(n, columns);
      for (int64_t m = 0; m < M_; ++m) std::copy_n(sums_.get() + m * width_, columns, c + m * N + n);
    }
  }

  template <int rows>
  void RunRows(const Panel& panel, int64_t m) {
    for (; m + rows <= M_; m += rows) {
      Block<rows> block{{}, {}, panel.b, panel.b_exponents, panel.step, {}, panel.columns};
      for (int i = 0; i < rows; ++i) {
        block.a[i] = a_ + (m + i) * K_ + panel.k;
        block.a_exponents[i] = a_exponents_.get() + (m + i) * K_ + panel.k;
        block.c[i] = sums_.get() + (m + i) * width_;
      }
      slow_steps_ += RunBlock<rows>(rule_, block, panel.depth, panel.checked);
    }
    if constexpr (rows > 1) RunRows<rows / 2>(panel, m);
  }

  VectorRule rule_;
  int64_t M_, K_, width_;
  const float* a_;
  hwy::AlignedFreeUniquePtr<int32_t[]> a_exponents_;
  hwy::AlignedFreeUniquePtr<float[]> sums_;
  bool a_finite_;
  int64_t slow_steps_ = 0;
};

// These return how many steps were slow.
int64_t RunProduct(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                   float* c) {
  return Product(rule, M, K, a).RunDense(N, b, c);
}
int64_t RunWindows(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* image,
                   const int64_t* step, float* c) {
  return Product(rule, M, K, a).RunWindows(N, image, step, c);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(RunProduct);
HWY_EXPORT(RunWindows);

// A step's aligned products are below 2^(kept_bits + 2), their sum below 2^31.
bool sum_fits_int32(const StepRule& rule) { return int64_t{rule.terms} << (rule.kept_bits + 2) <= 1LL << 31; }

// Element (k, n) of b is at step(k) + n.
template <class Step>
void plain_product(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                   Step step, float* c) {
  std::vector<float> column(K);
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) column[k] = b[step(k) + n];
    for (int64_t m = 0; m < M; ++m) c[m * N + n] = fused_dot(rule, a + m * K, column.data(), K, 0.0f);
  }
}

void count_steps(int64_t steps, int64_t slow) {
  steps_taken += steps;
  slow_steps_taken += slow;
}

int64_t steps_of(const StepRule& rule, int64_t M, int64_t N, int64_t K) {
  return M * N * ((K + rule.terms - 1) / rule.terms);
}

}  // namespace

void fused_dot_product(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                       float* c) {
  const int64_t steps = steps_of(rule, M, N, K);
  if (sum_fits_int32(rule))
    return count_steps(steps, HWY_DYNAMIC_DISPATCH(RunProduct)(rule, M, N, K, a, b, c));
  plain_product(
      rule, M, N, K, a, b, [N](int64_t k) { return k * N; }, c);
  count_steps(steps, steps);
}

void fused_dot_windows(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a,
                       const float* image, const int64_t* step, float* c) {
  const int64_t steps = steps_of(rule, M, N, K);
  if (sum_fits_int32(rule))
    return count_steps(steps, HWY_DYNAMIC_DISPATCH(RunWindows)(rule, M, N, K, a, image, step, c));
  plain_product(
      rule, M, N, K, a, image, [step](int64_t k) { return step[k]; }, c);
  count_steps(steps, steps);
}

FusedDotCounts fused_dot_counts() { return {steps_taken, slow_steps_taken}; }

}  // namespace faultline
#endif  // HWY_ONCE
