#include "engine/mma/fused_dot_product.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/mma/fused_dot_product.cc"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/base/rounding.h"
#include "engine/mma/fused_dot_left-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

constexpr bool kPairs = HWY_TARGET == HWY_AVX3;  // registers hold the sums and scales of two rows

// A masked load reads no memory but that of its lanes.
constexpr bool kMasksLoads = HWY_TARGET == HWY_AVX3;
constexpr int kMostRuns = 7;  // that reach into a vector which is made of them

// Calls body with n, which is in 1 .. most, as a constant.
template <int most, class Body>
HWY_INLINE void WithConstant(int64_t n, const Body& body) {
  if constexpr (most > 1) {
    if (n < most) return WithConstant<most - 1>(n, body);
  }
  body.template operator()<most>();
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
        exponents8_(rule_.operand_field, left_.range().smallest) {}

  // These return how many steps were slow.
  int64_t RunDense(const float* b, float* c) {
    return RunPacked(
        [&](int64_t k, const Panel& panel, float* values) { return CopyDense(b, k, panel, values); }, c);
  }
  int64_t RunWindows(const Windows& b, float* c) {
    const ExponentRange range = RangeOfAll(b.image, b.size, rule_.operand_field);
    if (b.run >= width_ && b.size <= INT32_MAX) return RunInPlace(b, range, c);
    const std::vector<VectorOfRuns> vectors = VectorsOfRuns(b);
    skips_terms_ = M_ <= kRows && in_range(rule_, K_, left_.range(), range);
    return RunPacked(
        [&](int64_t k, const Panel& panel, float* values) {
          if (vectors.empty())
            CopyRuns(b, k, panel, values);
          else
            CopyVectors(b, vectors, k, panel, values);
          return range;
        },
        c);
  }

 private:
  // Blocks of b are copied panel by panel, of which copy(k, panel, values) does the needed terms from k on; it returns
  // the range of exponents.
  template <class Copy>
  int64_t RunPacked(const Copy& copy, float* c) {
    for (int64_t n = 0; n < N_; n += width_) panels_.push_back({n, std::min(width_, N_ - n)});
    live_.assign(panels_.size() * kDepth, ~0u);
    const int64_t size = std::min(K_, kDepth) * width_;
    const auto values = hwy::AllocateAligned<float>(panels_.size() * size + lanes_);
    std::fill_n(values.get(), panels_.size() * size + lanes_, 0.0f);  // padding
    const auto exponents = hwy::AllocateAligned<uint32_t>(panels_.size() * size / kVectors);
    int32_t at[kDepth + hn::MaxLanes(DI())];
    for (int64_t i = 0; i < kDepth; ++i) at[i] = i * width_;
    Run(c, at, [&](int64_t k, int64_t terms) {
      FindNeeded(terms);
      for (int64_t i = 0; i < panels_.size(); ++i) {
        Panel& panel = panels_[i];
        panel.values = values.get() + i * size;
        panel.exponents = exponents.get() + i * size / kVectors;
        panel.exponent_shift = kDenseShift;
        const ExponentRange range = copy(k, panel, values.get() + i * size);
        // What a block out of range has left in the sums is not in range either.
        panel.in_range = (k == 0 || panel.in_range) && in_range(rule_, K_, left_.range(), range);
        WriteExponents8(panel, exponents.get() + i * size / kVectors);
      }
    });
    return slow_steps_;
  }

  // The image is read where it lies.
  int64_t RunInPlace(const Windows& b, const ExponentRange& range, float* c) {
    const int shift = ExponentShift(b);
    const auto exponents = hwy::AllocateAligned<uint32_t>((b.size >> shift) + 2 * lanes_);
    WriteExponents8(b, shift, exponents.get());
    const bool all_in_range = in_range(rule_, K_, left_.range(), range);
    for (int64_t i = 0; i < N_ / b.run; ++i) {
      for (int64_t n = 0; n < b.run; n += width_) {
        const int64_t at = b.origin[i] + n;
        panels_.push_back({i * b.run + n, std::min(width_, b.run - n), b.image + at,
                           exponents.get() + (at >> shift), shift, all_in_range});
      }
    }
    int32_t at[kDepth + hn::MaxLanes(DI())];
    Run(c, at, [&](int64_t k, int64_t terms) {
      std::copy_n(b.step + k, terms, at);
      FindLive(at, terms);
    });
    return slow_steps_;
  }

  // prepare(k, terms) sets the panels for some terms, and `at`, where in them each term is. The first rows' left operands
  // are known then.
  template <class Prepare>
  void Run(float* c, const int32_t* at, const Prepare& prepare) {
    const int64_t panel_sums = M_ * width_;
    const auto sums = hwy::AllocateAligned<float>(panels_.size() * panel_sums);
    std::fill_n(sums.get(), panels_.size() * panel_sums, 0.0f);
    for (int64_t k = 0; k < K_; k += kDepth) {
      const int64_t terms = std::min(kDepth, K_ - k);
      for (int64_t m = 0; m < M_; m += kRows) {
        left_.Take(m, std::min(kRows, M_ - m), k, terms, at);
        if (m == 0) prepare(k, terms);
        for (int64_t i = 0; i < panels_.size(); ++i) {
          left_.Pick(live_.data() + i * left_.steps());
          RunPanel(panels_[i], sums.get() + i * panel_sums + m * width_);
        }
      }
    }
    for (int64_t m = 0; m < M_; ++m) {
      for (int64_t i = 0; i < panels_.size(); ++i) {
        const Panel& panel = panels_[i];
        CopyRow(sums.get() + i * panel_sums + m * width_, panel.columns, c + m * N_ + panel.begin);
      }
    }
  }

  // Padding of an image and what relu has cleared may be all that the columns of a panel have at a term.
  void FindLive(const int32_t* at, int64_t terms) {
    live_.clear();
    for (const Panel& panel : panels_) {
      for (int64_t k = 0; k < terms; k += rule_.rule.terms) {
        uint32_t live = 0;
        for (int64_t i = 0; i < std::min<int64_t>(rule_.rule.terms, terms - k); ++i) {
          const VU8 exponents = RightExponentsAt(panel, at[k + i]);
          live |= uint32_t{!hn::AllTrue(DU8(), hn::Eq(exponents, hn::Zero(DU8())))} << i;
        }
        live_.push_back(live);
      }
    }
  }

  // What meets zeros only in all rows is not needed, if nothing is infinite or NaN.
  void FindNeeded(int64_t terms) {
    needed_.clear();
    for (int64_t step = 0; step < left_.steps(); ++step) {
      const int64_t first = step * rule_.rule.terms,
                    count = std::min<int64_t>(rule_.rule.terms, terms - first);
      uint32_t bits = skips_terms_ ? left_.present(step) : ~0u >> (32 - count);
      for (; bits != 0; bits &= bits - 1) needed_.push_back(first + std::countr_zero(bits));
    }
  }

  // Copies the needed rows, from k on, of the columns of a panel.
  ExponentRange CopyDense(const float* b, int64_t k, const Panel& panel, float* values) const {
    const float* const end = b + K_ * N_;
    RangeOf range;
    for (int32_t i : needed_) {
      const float* const from = b + (k + i) * N_ + panel.begin;
      for (int64_t j = 0; j < panel.columns; j += lanes_) {
        const VF value = LoadFirst(from + j, panel.columns - j, end);
        range.add(value);
        hn::StoreU(value, DF(), values + i * width_ + j);
      }
    }
    return range.range(rule_.operand_field);
  }

  // The runs that reach into a vector, which masked loads bring to their lanes.
  struct VectorOfRuns {
    int runs = 0;
    int64_t from[kMostRuns];  // lane 0, if all of them were of the run
    uint32_t lanes[kMostRuns];
  };

  // Of all columns; none where run by run is better.
  std::vector<VectorOfRuns> VectorsOfRuns(const Windows& b) const {
    if (!kMasksLoads || lanes_ / b.run + 2 > kMostRuns) return {};
    std::vector<VectorOfRuns> vectors((N_ + lanes_ - 1) / lanes_);
    for (int64_t n = 0, count; n < N_; n += count) {
      const int64_t lane = n % lanes_, skip = n % b.run;
      count = std::min({b.run - skip, lanes_ - lane, N_ - n});
      VectorOfRuns& vector = vectors[n / lanes_];
      vector.from[vector.runs] = b.origin[n / b.run] + skip - lane;
      vector.lanes[vector.runs++] = ((1u << count) - 1) << lane;
    }
    return vectors;
  }

  void CopyVectors(const Windows& b, const std::vector<VectorOfRuns>& vectors, int64_t k, const Panel& panel,
                   float* values) const {
    const float* const image = b.image;
    const int64_t* const step = b.step + k;
    const int64_t width = width_;
    for (int64_t n = 0; n < panel.columns; n += lanes_) {
      const VectorOfRuns& from = vectors[(panel.begin + n) / lanes_];
      float* const out = values + n;
      WithConstant<kMostRuns>(from.runs, [&]<int runs>() HWY_ATTR {
        hn::Mask<DF> mask[runs];
        const float* run[runs];
        for (int j = 0; j < runs; ++j) {
          mask[j] = hn::LoadMaskBits(DF(), reinterpret_cast<const uint8_t*>(&from.lanes[j]));
          run[j] = image + from.from[j];
        }
        for (int32_t i : needed_) {
          const int64_t at = step[i];
          VF vector = hn::MaskedLoad(mask[0], DF(), run[0] + at);
#pragma GCC unroll 8
          for (int j = 1; j < runs; ++j) vector = hn::Or(vector, hn::MaskedLoad(mask[j], DF(), run[j] + at));
          hn::Store(vector, DF(), out + i * width);
        }
      });
    }
  }

  void CopyRuns(const Windows& b, int64_t k, const Panel& panel, float* values) const {
    const hn::CappedTag<float, 8> few;  // short vectors cross fewer lines of the cache
    if (b.run <= static_cast<int64_t>(hn::Lanes(few))) return CopyRuns(few, b, k, panel, values);
    CopyRuns(DF(), b, k, panel, values);
  }

  // Vectors reach beyond a run, where the next one then goes.
  template <class D>
  void CopyRuns(D d, const Windows& b, int64_t k, const Panel& panel, float* values) const {
    struct Piece {
      int64_t from, to;
    };
    std::vector<Piece> pieces;
    for (int64_t n = panel.begin; n < panel.begin + panel.columns;) {
      const int64_t skip = n % b.run;
      pieces.push_back({b.origin[n / b.run] + skip, n - panel.begin});
      n += std::min<int64_t>(hn::Lanes(d), b.run - skip);
    }
    for (int32_t i : needed_) {
      const float* const image = b.image + b.step[k + i];
      float* const row = values + i * width_;
      for (const Piece& piece : pieces) hn::StoreU(hn::LoadU(d, image + piece.from), d, row + piece.to);
    }
  }

  // Writes the exponents of the needed terms of a packed panel.
  void WriteExponents8(const Panel& panel, uint32_t* exponents) const {
    const int64_t lanes = lanes_, width = width_;
    const float* const values = panel.values;
    ForVectors(panel.columns, [&]<int vectors>() HWY_ATTR {
      const RightExponents8 exponents8 = exponents8_;
      for (int32_t i : needed_) {
        VF value[vectors];
        for (int v = 0; v < vectors; ++v) value[v] = hn::Load(DF(), values + i * width + v * lanes);
        hn::StoreU(exponents8.of(value), DU(), exponents + i * lanes);
      }
    });
  }

  // Places that are multiples of some vectors have the exponents of just these, closer together.
  int ExponentShift(const Windows& b) const {
    int64_t places = width_;
    for (int64_t i = 0; i < K_; ++i) places |= b.step[i];
    for (int64_t i = 0; i < N_ / b.run; ++i) places |= b.origin[i];
    return std::countr_zero(static_cast<uint64_t>(std::max(places & -places, lanes_) / lanes_));
  }

  // Elements of the image from the place of a step on.
  int64_t Extent(const Windows& b) const {
    return *std::max_element(b.origin, b.origin + N_ / b.run) + b.run;
  }

  // Writes the exponents of the four vectors from each place on at which a window is read.
  void WriteExponents8(const Windows& b, int shift, uint32_t* exponents) const {
    const int64_t extent = Extent(b);
    std::vector<int64_t> steps(b.step, b.step + K_);
    std::sort(steps.begin(), steps.end());
    int64_t i = 0;
    for (int64_t step : steps) {
      for (i = std::max(i, step); i < step + extent; i += lanes_ << shift) {
        const auto at = [&](int v) HWY_ATTR {
          const int64_t from = std::min(i + v * lanes_, b.size);
          return LoadFirst(b.image + from, b.size - from, b.image + b.size);
        };
        const VF values[] = {at(0), at(1), at(2), at(3)};
        hn::StoreU(exponents8_.of(values), DU(), exponents + (i >> shift));
      }
    }
  }

  // Calls body with the number of vectors that so many columns take.
  template <class Body>
  void ForVectors(int64_t columns, const Body& body) const {
    WithConstant<kVectors>((columns + lanes_ - 1) / lanes_, body);
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
        if (kPairs && left_.is_full(step, i) && left_.is_full(step, i + 1)) {
          TakeStep<2, vectors, Result>(panel, step, i, sums);
        } else {
          TakeStep<1, vectors, Result>(panel, step, i, sums);
          TakeStep<1, vectors, Result>(panel, step, i + 1, sums);
        }
      }
      if (i < left_.rows()) TakeStep<1, vectors, Result>(panel, step, i, sums);
    }
  }

  // A step without terms leaves finite accumulators as they are, and has no others.
  template <int rows, int vectors, class Result>
  HWY_INLINE void TakeStep(const Panel& panel, int64_t step, int64_t i, float* sums) {
    LeftTerms left[rows];
    StepTerms terms[rows];
    for (int r = 0; r < rows; ++r)
      left[r] = left_.terms(step, i + r), terms[r] = left_.all_terms(step, i + r);
    if (left->count == 0) return;
    slow_steps_ += Step<rows, vectors, Result>(rule_, left, terms, panel, sums + i * width_);
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
  std::vector<uint32_t>
      live_;  // of each step of each panel the terms that are not zero in all of its columns
  bool skips_terms_ = false;
  std::vector<int32_t> needed_;  // terms of the packed block
  int64_t slow_steps_ = 0;
};

int64_t RunProduct(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                   float* c) {
  return Product(rule, M, N, K, a).RunDense(b, c);
}
int64_t RunWindows(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, const Windows& b,
                   float* c) {
  return Product(rule, M, N, K, a).RunWindows(b, c);
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

template <class Right>
void plain_product(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a, Right right,
                   float* c) {
  std::vector<float> column(K);
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) column[k] = right(k, n);
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
      rule, M, N, K, a, [&](int64_t k, int64_t n) { return b[k * N + n]; }, c);
  count_steps(steps, steps);
}

void fused_dot_windows(const StepRule& rule, int64_t M, int64_t N, int64_t K, const float* a,
                       const Windows& b, float* c) {
  const int64_t steps = steps_of(rule, M, N, K);
  if (sum_fits_int32(rule)) {
    const TowardZero rounding(rule.accumulate == Dtype::kF32);  // where results are cut
    return count_steps(steps, HWY_DYNAMIC_DISPATCH(RunWindows)(rule, M, N, K, a, b, c));
  }
  plain_product(
      rule, M, N, K, a, [&](int64_t k, int64_t n) { return b.at(k, n); }, c);
  count_steps(steps, steps);
}

FusedDotCounts fused_dot_counts() { return {steps_taken, slow_steps_taken}; }

}  // namespace faultline
#endif  // HWY_ONCE
