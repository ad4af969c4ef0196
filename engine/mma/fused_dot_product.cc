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

#include "engine/base/rounding.h"
#include "engine/mma/fused_dot_steps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kDepth = 128;  // of a block of b that stays in the L1 cache: whole steps

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
        a_(hwy::AllocateAligned<float>(M * K)),
        a_exponents_(hwy::AllocateAligned<int32_t>(M * K)),
        sums_(hwy::AllocateAligned<float>(M * width_)) {
    PackRows<2 * kRows>(a, 0);
    a_range_ = PackExponentPairs(a_.get(), M * K, rule_.operand_field, a_exponents_.get());
  }

  // b is dense: a panel's columns are packed block by block, unless they lie so.
  int64_t RunDense(int64_t N, const float* b, float* c) {
    const int64_t depth = std::min(K_, kDepth);
    const auto values = hwy::AllocateAligned<float>(depth * width_);
    const auto exponents = hwy::AllocateAligned<int16_t>(depth * width_);
    int64_t step[kDepth];
    for (int64_t k = 0; k < depth; ++k) step[k] = k * width_;
    ForPanels(N, c, [&](int64_t n, int64_t columns) {
      bool checked = false;
      for (int64_t k = 0; k < K_; k += depth) {
        const int64_t terms = std::min(depth, K_ - k);
        const float* block = b + k * N + n;
        if (N != width_) {
          CopyPanel(block, N, terms, columns, values.get());
          block = values.get();
        }
        checked |= Checked(PackExponents16(block, terms * width_, rule_.operand_field, exponents.get()));
        RunRows<2 * kRows>({block, exponents.get(), step, k, terms, columns, checked}, 0);
      }
    });
    return slow_steps_;
  }

  // The columns of b are windows into an image, read where they lie.
  int64_t RunWindows(int64_t N, const float* image, const int64_t* step, float* c) {
    const int64_t size = *std::max_element(step, step + K_) + (N + width_ - 1) / width_ * width_;
    const auto exponents = hwy::AllocateAligned<int16_t>(size);
    const bool checked = Checked(PackExponents16(image, size, rule_.operand_field, exponents.get()));
    ForPanels(N, c, [&](int64_t n, int64_t columns) {
      RunRows<2 * kRows>({image + n, exponents.get() + n, step, 0, K_, columns, checked}, 0);
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

  // Whether the steps must look at exponents.
  bool Checked(const ExponentRange& b_range) const { return !in_range(rule_, K_, a_range_, b_range); }

  // Pads with zeros.
  void CopyPanel(const float* b, int64_t ld, int64_t depth, int64_t columns, float* values) const {
    for (int64_t k = 0; k < depth; ++k, b += ld, values += width_) {
      std::fill(std::copy_n(b, columns, values), values + width_, 0.0f);
    }
  }

  template <class Body>
  void ForPanels(int64_t N, float* c, const Body& body) {
    for (int64_t n = 0; n < N; n += width_) {
      const int64_t columns = std::min(width_, N - n);
      std::fill_n(sums_.get(), M_ * width_, 0.0f);
      body(n, columns);
      for (int64_t m = 0; m < M_; ++m) std::copy_n(sums_.get() + m * width_, columns, c + m * N + n);
    }
  }

  // Rows are taken in blocks of as many as fit, then of half as many, and so on; block by block they are
  // packed with the rows of a term side by side.
  template <int rows>
  void PackRows(const float* a, int64_t m) {
    for (; m + rows <= M_; m += rows) {
      float* out = a_.get() + m * K_;
      for (int64_t k = 0; k < K_; ++k) {
        for (int i = 0; i < rows; ++i) out[k * rows + i] = a[(m + i) * K_ + k];
      }
    }
    if constexpr (rows > 1) PackRows<rows / 2>(a, m);
  }

  template <int rows>
  void RunRows(const Panel& panel, int64_t m) {
    for (; m + rows <= M_; m += rows) {
      const int64_t begin = m * K_ + panel.k * rows;
      slow_steps_ += RunBlock<rows>(rule_,
                                    {a_.get() + begin, a_exponents_.get() + begin, panel.b, panel.b_exponents,
                                     panel.step, sums_.get() + m * width_, panel.columns},
                                    panel.depth, panel.checked);
    }
    if constexpr (rows > 1) RunRows<rows / 2>(panel, m);
  }

  VectorRule rule_;
  int64_t M_, K_, width_;
  hwy::AlignedFreeUniquePtr<float[]> a_;
  hwy::AlignedFreeUniquePtr<int32_t[]> a_exponents_;
  hwy::AlignedFreeUniquePtr<float[]> sums_;
  ExponentRange a_range_;
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
