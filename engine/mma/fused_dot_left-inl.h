// The left operands of fused steps on vectors, block by block.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_MMA_FUSED_DOT_LEFT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_MMA_FUSED_DOT_LEFT_INL_H_
#undef FAULTLINE_MMA_FUSED_DOT_LEFT_INL_H_
#else
#define FAULTLINE_MMA_FUSED_DOT_LEFT_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/mma/fused_dot_steps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

// A block of a panel of b, whole steps deep, and the terms and sums of some rows stay in the L1 cache.
constexpr int64_t kDepth = 64, kRows = 16;

// The first `count` of a vector of values that end at `end`; the others are 0.
HWY_INLINE VF LoadFirst(const float* from, int64_t count, const float* end) {
  const DF df;
  const int64_t lanes = hn::Lanes(df);
  if (count >= lanes) return hn::LoadU(df, from);
  if (count <= 0) return hn::Zero(df);
  if (end - from >= lanes) return hn::IfThenElseZero(hn::FirstN(df, count), hn::LoadU(df, from));
  float part[hn::MaxLanes(df)] = {};
  std::copy_n(from, count, part);
  return hn::LoadU(df, part);
}

// One bit a lane.
HWY_INLINE uint32_t BitsOf(hn::Mask<DI> mask) {
#if HWY_TARGET == HWY_AVX3
  return mask.raw;
#endif
  uint8_t bytes[(hn::MaxLanes(DI()) + 7) / 8 + 8];
  uint32_t bits = 0;
  const int64_t count = hn::StoreMaskBits(DI(), mask, bytes);
  for (int64_t i = 0; i < count; ++i) bits |= uint32_t{bytes[i]} << 8 * i;
  return bits;
}

// Some rows of a over some steps of a chain: of each step of each row the terms of which no operand is zero, since
// others change nothing.
class LeftBlock {
 public:
  LeftBlock(const VectorRule& rule, int64_t M, int64_t K, const float* a)
      : rule_(rule), M_(M), K_(K), a_(a), range_(RangeOfAll(a, M * K, rule.operand_field)) {}

  const ExponentRange& range() const { return range_; }
  // Whether a sum may leave int32, as only that of the largest significands does.
  bool may_overflow() const { return may_overflow_; }
  int64_t rows() const { return rows_; }
  int64_t steps() const { return steps_; }

  // Takes rows [m, m + rows) and terms [k, k + depth), of which term k + i meets the right operand at at[i].
  void Take(int64_t m, int64_t rows, int64_t k, int64_t depth, const int32_t* at) {
    m_ = m, rows_ = rows, k_ = k, depth_ = depth, at_ = at;
    steps_ = (depth + rule_.rule.terms - 1) / rule_.rule.terms;
    picked_ = false;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t step = 0; step < steps(); ++step) TakeStep(step, i);
    }
  }

  // The terms of a step that are not zero in all of the rows, one bit each.
  uint32_t present(int64_t step) const {
    uint32_t terms = 0;
    for (int64_t i = 0; i < rows_; ++i) terms |= taken_[step * rows_ + i].present;
    return terms;
  }

  // Picks the terms for columns that have some right operands which are not zero at the terms `live` of each step,
  // one bit a term.
  void Pick(const uint32_t* live) {
    if (picked_ && std::equal(live, live + steps(), live_)) return;
    std::copy_n(live, steps(), live_);
    picked_ = true;
    may_overflow_ = false;
    for (int64_t step = 0; step < steps(); ++step) {
      for (int64_t i = 0; i < rows_; ++i) PickStep(step, i);
    }
  }

  const LeftTerms& terms(int64_t step, int64_t i) const { return picked_terms_[step * rows_ + i]; }
  // Whether a row has all terms of a step that the columns have.
  bool is_full(int64_t step, int64_t i) const {
    const uint32_t all = ~0u >> (32 - all_terms(step, i).count);
    return terms(step, i).count == std::popcount(live_[step] & all);
  }
  StepTerms all_terms(int64_t step, int64_t i) const {
    const int64_t k = step * rule_.rule.terms;
    return {row(i) + k, at_ + k, std::min<int64_t>(rule_.rule.terms, depth_ - k)};
  }

  // Writes the exponents of a row where they are checked.
  void WriteCheckedExponents(int64_t i, int32_t* exponents) const {
    WriteExponents(row(i), depth_, rule_.operand_field, kBias, exponents);
  }

 private:
  struct Step {
    uint32_t present = 0;  // the terms that are not zero, one bit each
    bool may_overflow = false;
  };

  const float* row(int64_t i) const { return a_ + (m_ + i) * K_ + k_; }

  // Whole vectors are written where the next step of a row follows.
  void TakeStep(int64_t step, int64_t i) {
    const DF df;
    const DI di;
    const int64_t lanes = hn::Lanes(df);
    const StepTerms all = all_terms(step, i);
    Step taken;
    for (int64_t k = 0; k < all.count; k += lanes) {
      const VF value = LoadFirst(all.left + k, all.count - k, a_ + M_ * K_);
      const VI exponent = LeftExponents8(value, rule_.operand_field, range_.smallest);
      hn::StoreU(exponent, di, exponents_ + i * kDepth + step * rule_.rule.terms + k);
      const auto present = hn::RebindMask(di, hn::Ne(value, hn::Zero(df)));
      taken.present |= BitsOf(present) << k;
    }
    if (rule_.sum_may_overflow && std::popcount(taken.present) == rule_.rule.terms) {
      taken.may_overflow = MayOverflow(all);
    }
    taken_[step * rows_ + i] = taken;
  }

  // Copies the terms of a step that has lost some.
  void PickStep(int64_t step, int64_t i) {
    const int64_t slot = step * rows_ + i, k = step * rule_.rule.terms;
    const StepTerms all = all_terms(step, i);
    const uint32_t terms = taken_[slot].present & live_[step];
    LeftTerms& picked = picked_terms_[slot];
    picked = {all.left, exponents_ + i * kDepth + k, all.at, std::popcount(terms)};
    if (picked.count == all.count) {
      may_overflow_ |= taken_[slot].may_overflow;
      return;
    }
    const DF df;
    const DI di;
    int64_t to = slot * rule_.rule.terms;
    const int64_t first = to;
    for (int64_t j = 0; j < all.count; j += hn::Lanes(df)) {
      const uint32_t bits = terms >> j;
      const auto kept = hn::LoadMaskBits(di, reinterpret_cast<const uint8_t*>(&bits));
      const VF value = LoadFirst(all.left + j, all.count - j, a_ + M_ * K_);
      hn::StoreU(hn::Compress(value, hn::RebindMask(df, kept)), df, kept_values_ + to);
      hn::StoreU(hn::Compress(hn::LoadU(di, picked.exponents + j), kept), di, kept_exponents_ + to);
      hn::StoreU(hn::Compress(hn::LoadU(di, all.at + j), kept), di, kept_at_ + to);
      to += hn::CountTrue(di, kept);
    }
    picked.values = kept_values_ + first;
    picked.exponents = kept_exponents_ + first;
    picked.at = kept_at_ + first;
  }

  // A product is below the left significand times 2^(kept_bits + 1), and so is the accumulator for 1. Two
  // significands below 1.5, or a zero, leave room for it.
  bool MayOverflow(const StepTerms& terms) const {
    int small = 0;
    for (int64_t i = 0; i < terms.count; ++i)
      small += (std::bit_cast<uint32_t>(terms.left[i]) >> 22 & 1) == 0;
    if (small >= 2) return false;
    double sum = 1;
    for (int64_t i = 0; i < terms.count; ++i) {
      int exponent = 0;
      sum += 2 * std::fabs(std::frexp(terms.left[i], &exponent));
    }
    return !(sum * (2 << rule_.rule.kept_bits) <= 0x1p31);
  }

  static constexpr int64_t kSize = kRows * kDepth + hn::MaxLanes(DF());

  const VectorRule& rule_;
  int64_t M_, K_;
  const float* a_;
  ExponentRange range_;
  int64_t m_ = 0, rows_ = 0, k_ = 0, depth_ = 0, steps_ = 0;
  const int32_t* at_ = nullptr;
  HWY_ALIGN int32_t exponents_[kSize];
  Step taken_[kRows * kDepth];
  bool picked_ = false, may_overflow_ = false;
  uint32_t live_[kDepth];
  LeftTerms picked_terms_[kRows * kDepth];
  HWY_ALIGN float kept_values_[kSize];
  HWY_ALIGN int32_t kept_exponents_[kSize], kept_at_[kSize];
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_MMA_FUSED_DOT_LEFT_INL_H_
