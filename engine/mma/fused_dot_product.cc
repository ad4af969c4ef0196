#include "engine/mma/fused_dot_product.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/mma/fused_dot_product.cc"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/base/rounding.h"
#include "engine/mma/fused_dot_steps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

// A block of a panel of b, whole steps deep, and the terms and sums of some rows stay in the L1 cache.
constexpr int64_t kDepth = 64, kRows = 16;
constexpr bool kPairs = HWY_TARGET == HWY_AVX3;  // registers hold the sums and scales of two rows

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

void CopyRow(const float* from, int64_t n, float* to) {
  const DF df;
  const int64_t lanes = hn::Lanes(df);
  if (n < lanes) return void(std::copy_n(from, n, to));
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t at = std::min(i, n - lanes);  // the last vectors overlap
    hn::StoreU(hn::LoadU(df, from + at), df, to + at);
  }
}

// Some rows of a over some steps of a chain: of each step of each row the terms that are not zero, since others
// change nothing.
class LeftBlock {
 public:
  LeftBlock(const VectorRule& rule, int64_t M, int64_t K, const float* a)
      : rule_(rule), M_(M), K_(K), a_(a), range_(RangeOfAll(a, M * K, rule.operand_field)) {}

  const ExponentRange& range() const { return range_; }
  // Whether a sum may leave int32, as only that of the largest significands does.
  bool may_overflow() const { return may_overflow_; }
  int64_t rows() const { return rows_; }
  int64_t steps() const { return (depth_ + rule_.rule.terms - 1) / rule_.rule.terms; }

  // Takes rows [m, m + rows) and terms [k, k + depth), of which term k + i meets the right operand at at[i].
  void Pack(int64_t m, int64_t rows, int64_t k, int64_t depth, const int32_t* at) {
    m_ = m, rows_ = rows, k_ = k, depth_ = depth, at_ = at;
    may_overflow_ = false;
    for (int64_t step = 0; step < steps(); ++step) {
      for (int64_t i = 0; i < rows; ++i) PackStep(step, i);
    }
  }

  LeftTerms terms(int64_t step, int64_t i) const {
    const int64_t slot = step * rows_ + i, first = slot * rule_.rule.terms;
    return {values_ + first, exponents_ + first, offsets_ + first, counts_[slot]};
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
  const float* row(int64_t i) const { return a_ + (m_ + i) * K_ + k_; }

  // Whole vectors are written where the next step of a row follows.
  void PackStep(int64_t step, int64_t i) {
    const DF df;
    const DI di;
    const int64_t lanes = hn::Lanes(df), slot = step * rows_ + i;
    const StepTerms all = all_terms(step, i);
    int64_t to = slot * rule_.rule.terms, small = 0;
    for (int64_t k = 0; k < all.count; k += lanes) {
      const VF value = LoadFirst(all.left + k, all.count - k, a_ + M_ * K_);
      const VI exponent = LeftExponents8(value, rule_.operand_field, range_.smallest);
      const VI at = hn::LoadU(di, all.at + k);
      const auto present = hn::RebindMask(di, hn::Ne(value, hn::Zero(df)));
      const int64_t count = hn::CountTrue(di, present);
      if (count == lanes) {
        hn::StoreU(value, df, values_ + to);
        hn::StoreU(exponent, di, exponents_ + to);
        hn::StoreU(at, di, offsets_ + to);
      } else {
        hn::StoreU(hn::Compress(value, hn::RebindMask(df, present)), df, values_ + to);
        hn::StoreU(hn::Compress(exponent, present), di, exponents_ + to);
        hn::StoreU(hn::Compress(at, present), di, offsets_ + to);
      }
      to += count;
      const VI half = hn::And(hn::BitCast(di, value), hn::Set(di, 1 << 22));
      small += hn::CountTrue(di, hn::And(present, hn::Eq(half, hn::Zero(di))));
    }
    counts_[slot] = static_cast<int32_t>(to - slot * rule_.rule.terms);
    if (rule_.sum_may_overflow && counts_[slot] == rule_.rule.terms && small < 2) CheckOverflow(all);
  }

  // A product is below the left significand times 2^(kept_bits + 1), and so is the accumulator for 1. Two
  // significands below 1.5, or a zero, leave room for it.
  HWY_NOINLINE void CheckOverflow(const StepTerms& terms) {
    double sum = 1;
    for (int64_t i = 0; i < terms.count; ++i) {
      int exponent = 0;
      sum += 2 * std::fabs(std::frexp(terms.left[i], &exponent));
    }
    may_overflow_ |= !(sum * (2 << rule_.rule.kept_bits) <= 0x1p31);
  }

  static constexpr int64_t kSize = kRows * kDepth + hn::MaxLanes(DF());

  const VectorRule& rule_;
  int64_t M_, K_;
  const float* a_;
  ExponentRange range_;
  int64_t m_ = 0, rows_ = 0, k_ = 0, depth_ = 0;
  const int32_t* at_ = nullptr;
  bool may_overflow_ = false;
  HWY_ALIGN float values_[kSize];
  HWY_ALIGN int32_t exponents_[kSize], offsets_[kSize];
  int32_t counts_[kRows * kDepth];
};

// A product by blocks of k, of rows, and panels of columns.
class Product {
 public:
  Product(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a)
      : rule_(rule),
        M_(M),
        N_(N),
        K_(K),
        lanes_(hn::Lanes(DF())),
        width_(kVectors * lanes_),
        left_(rule_, M, K, a),
        exponents8_(rule_.operand_field, left_.range().smallest),
        panels_((N + width_ - 1) / width_) {
    for (int64_t i = 0; i < panels_.size(); ++i) panels_[i].columns = std::min(width_, N - i * width_);
  }

  // b is dense: blocks of it are packed panel by panel.
  int64_t RunDense(const float* b, float* c) {
    const int64_t depth = std::min(K_, kDepth), size = depth * width_;
    const auto values = hwy::AllocateAligned<float>(panels_.size() * size);
    const auto exponents = hwy::AllocateAligned<uint32_t>(panels_.size() * size / kVectors);
    hwy::AlignedFreeUniquePtr<int32_t[]> checked;
    int32_t at[kDepth + hn::MaxLanes(DI())];
    for (int64_t i = 0; i < kDepth; ++i) at[i] = i * width_;
    Run(c, [&](int64_t k, int64_t terms) {
      for (int64_t i = 0; i < panels_.size(); ++i) {
        Panel& panel = panels_[i];
        panel.values = values.get() + i * size;
        panel.exponents = exponents.get() + i * size / kVectors;
        panel.exponent_shift = kDenseShift;
        const ExponentRange range = PackPanel(b, k, terms, i * width_, panel.columns, values.get() + i * size,
                                              exponents.get() + i * size / kVectors);
        panel.in_range = in_range(rule_, K_, left_.range(), range);
      }
      return at;
    });
    return slow_steps_;
  }

  // The columns of b are windows into an image, read where they lie.
  int64_t RunWindows(const float* image, const int64_t* step, float* c) {
    const int64_t size = *std::max_element(step, step + K_) + (N_ + lanes_ - 1) / lanes_ * lanes_;
    const auto exponents = hwy::AllocateAligned<uint32_t>(size);
    RangeOf range;
    for (int64_t i = 0; i < size; i += lanes_) PackImage(image, i, size, exponents.get(), range);
    const bool all_in_range = in_range(rule_, K_, left_.range(), range.range(rule_.operand_field));
    for (int64_t i = 0; i < panels_.size(); ++i) {
      const int64_t n = i * width_;
      panels_[i] = {image + n, exponents.get() + n, 0, panels_[i].columns, all_in_range};
    }
    int32_t at[kDepth + hn::MaxLanes(DI())];
    Run(c, [&](int64_t k, int64_t terms) {
      std::copy_n(step + k, terms, at);
      return at;
    });
    return slow_steps_;
  }

 private:
  // prepare(k, terms) sets the panels for some terms and returns where in them each term is.
  template <class Prepare>
  void Run(float* c, const Prepare& prepare) {
    const int64_t panel_sums = M_ * width_;
    const auto sums = hwy::AllocateAligned<float>(panels_.size() * panel_sums);
    std::fill_n(sums.get(), panels_.size() * panel_sums, 0.0f);
    for (int64_t k = 0; k < K_; k += kDepth) {
      const int64_t terms = std::min(kDepth, K_ - k);
      const int32_t* at = prepare(k, terms);
      for (int64_t m = 0; m < M_; m += kRows) {
        left_.Pack(m, std::min(kRows, M_ - m), k, terms, at);
        for (int64_t i = 0; i < panels_.size(); ++i) {
          RunPanel(panels_[i], sums.get() + i * panel_sums + m * width_);
        }
      }
    }
    for (int64_t m = 0; m < M_; ++m) {
      for (int64_t i = 0; i < panels_.size(); ++i) {
        CopyRow(sums.get() + i * panel_sums + m * width_, panels_[i].columns, c + m * N_ + i * width_);
      }
    }
  }

  // Copies columns [n, n + columns) of rows of b, padded with zeros to vectors.
  ExponentRange PackPanel(const float* b, int64_t k, int64_t terms, int64_t n, int64_t columns, float* values,
                          uint32_t* exponents) const {
    RangeOf range;
    const auto pack = [&]<int vectors>() HWY_ATTR {
      const DF df;
      const float *from = b + k * N_ + n, *end = b + K_ * N_;
      for (int64_t i = 0; i < terms; ++i, from += N_) {
        VF value[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          value[v] = v < vectors - 1 ? hn::LoadU(df, from + v * lanes_)
                                     : LoadFirst(from + v * lanes_, columns - v * lanes_, end);
          hn::StoreU(value[v], df, values + i * width_ + v * lanes_);
        }
        hn::StoreU(exponents8_.of(value, range), DU(), exponents + i * lanes_);
      }
    };
    ForVectors(columns, pack);
    return range.range(rule_.operand_field);
  }

  // Calls body with the number of vectors that so many columns take.
  template <class Body>
  void ForVectors(int64_t columns, const Body& body) const {
    const int64_t vectors = (columns + lanes_ - 1) / lanes_;
    if (vectors == 1) return body.template operator()<1>();
    if (vectors == 2) return body.template operator()<2>();
    if (vectors == 3) return body.template operator()<3>();
    body.template operator()<4>();
  }

  // Writes the exponents of the four vectors of an image from each of a vector of positions on.
  void PackImage(const float* image, int64_t i, int64_t size, uint32_t* exponents, RangeOf& range) const {
    const auto at = [&](int v) HWY_ATTR {
      const int64_t from = std::min(i + v * lanes_, size);
      return LoadFirst(image + from, size - from, image + size);
    };
    const VF values[] = {at(0), at(1), at(2), at(3)};
    const VU packed = exponents8_.of(values, range);
    if (i + lanes_ <= size) return hn::StoreU(packed, DU(), exponents + i);
    uint32_t last[hn::MaxLanes(DU())];
    hn::StoreU(packed, DU(), last);
    std::copy_n(last, size - i, exponents + i);
  }

  void RunPanel(const Panel& panel, float* sums) {
    if (rule_.rule.accumulate == Dtype::kF16) return RunSteps<ToF16>(panel, sums);
    if (rule_.rule.result_fraction < 23) return RunSteps<ToShortF32>(panel, sums);
    RunSteps<ToF32>(panel, sums);
  }

  template <class Result>
  void RunSteps(const Panel& panel, float* sums) {
    if (!panel.in_range || left_.may_overflow()) return RunCheckedSteps<Result>(panel, sums);
    ForVectors(panel.columns, [&]<int vectors>() { RunSteps<vectors, Result>(panel, sums); });
  }

  // Rows inside, so that a step's chains do not wait for each other.
  template <int vectors, class Result>
  HWY_NOINLINE void RunSteps(const Panel& panel, float* sums) {
    for (int64_t step = 0; step < left_.steps(); ++step) {
      int64_t i = 0;
      for (; i + 1 < left_.rows(); i += 2) {
        const LeftTerms left[] = {left_.terms(step, i), left_.terms(step, i + 1)};
        const StepTerms terms[] = {left_.all_terms(step, i), left_.all_terms(step, i + 1)};
        float* c = sums + i * width_;
        if (kPairs && left[0].count == terms[0].count && left[1].count == terms[1].count) {
          slow_steps_ += Step<2, vectors, Result>(rule_, left, terms, panel, c);
        } else {
          slow_steps_ += Step<1, vectors, Result>(rule_, left, terms, panel, c);
          slow_steps_ += Step<1, vectors, Result>(rule_, left + 1, terms + 1, panel, c + width_);
        }
      }
      if (i < left_.rows()) {
        const LeftTerms left = left_.terms(step, i);
        const StepTerms terms = left_.all_terms(step, i);
        slow_steps_ += Step<1, vectors, Result>(rule_, &left, &terms, panel, sums + i * width_);
      }
    }
  }

  template <class Result>
  HWY_NOINLINE void RunCheckedSteps(const Panel& panel, float* sums) {
    int32_t exponents[kDepth];
    for (int64_t i = 0; i < left_.rows(); ++i) {
      left_.WriteCheckedExponents(i, exponents);
      for (int64_t step = 0; step < left_.steps(); ++step) {
        for (int64_t j = 0; j < panel.columns; j += lanes_) {
          slow_steps_ +=
              CheckedStep<Result>(rule_, left_.all_terms(step, i), exponents + step * rule_.rule.terms,
                                  panel.values + j, panel.columns - j, sums + i * width_ + j);
        }
      }
    }
  }

  VectorRule rule_;
  int64_t M_, N_, K_, lanes_, width_;
  LeftBlock left_;
  RightExponents8 exponents8_;
  std::vector<Panel> panels_;
  int64_t slow_steps_ = 0;
};

// These return how many steps were slow.
int64_t RunProduct(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                   float* c) {
  return Product(rule, M, N, K, a).RunDense(b, c);
}
int64_t RunWindows(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* image,
                   const int64_t* step, float* c) {
  return Product(rule, M, N, K, a).RunWindows(image, step, c);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

std::atomic<int64_t> steps_taken{0}, slow_steps_taken{0};

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
  if (sum_fits_int32(rule)) {
    const TowardZero rounding(rule.accumulate == Dtype::kF32);  // where results are cut
    return count_steps(steps, HWY_DYNAMIC_DISPATCH(RunProduct)(rule, M, N, K, a, b, c));
  }
  plain_product(
      rule, M, N, K, a, b, [N](int64_t k) { return k * N; }, c);
  count_steps(steps, steps);
}

void fused_dot_windows(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a,
                       const float* image, const int64_t* step, float* c) {
  const int64_t steps = steps_of(rule, M, N, K);
  if (sum_fits_int32(rule)) {
    const TowardZero rounding(rule.accumulate == Dtype::kF32);  // where results are cut
    return count_steps(steps, HWY_DYNAMIC_DISPATCH(RunWindows)(rule, M, N, K, a, image, step, c));
  }
  plain_product(
      rule, M, N, K, a, image, [step](int64_t k) { return step[k]; }, c);
  count_steps(steps, steps);
}

FusedDotCounts fused_dot_counts() { return {steps_taken, slow_steps_taken}; }

}  // namespace faultline
#endif  // HWY_ONCE
