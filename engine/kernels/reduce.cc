#include "engine/kernels/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/reduce.cc"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <functional>

#include "engine/base/parallel.h"
#include "engine/kernels/convert-inl.h"
#include "engine/kernels/elementwise.h"
#include "engine/kernels/lanes-inl.h"
#include "engine/numerics/sum.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

struct AddTerm {
  HWY_INLINE VF operator()(VF lanes, VF term) const { return hn::Add(lanes, term); }
};
struct AddSquare {
  HWY_INLINE VF operator()(VF lanes, VF term) const { return hn::MulAdd(term, term, lanes); }
};

// Terms [begin, end) of one sum whose terms lie in runs.
template <class Step, class T>
float SumRuns(const SumPlan& plan, const T* x, int64_t begin, int64_t end) {
  LaneSum sum;
  for (int64_t i = begin; i < end;) {
    const int64_t column = i % plan.run(), length = std::min(plan.run() - column, end - i);
    const T* run = x + plan.row_offsets()[i / plan.run()] + column;
    sum.fold(length,
             [&](VF lanes, auto vector, int64_t j) HWY_ATTR { return Step()(lanes, vector.load(run + j)); });
    i += length;
  }
  return sum.total();
}

// Terms [begin, end) of one vector of neighbouring columns.
template <class Step, class T, class Vector>
void SumColumns(const SumPlan& plan, const T* x, int64_t begin, int64_t end, Vector vector, float* sums) {
  const int64_t used = std::min<int64_t>(end - begin, kSumLanes);
  VF lanes[kSumLanes];
  for (int64_t j = 0; j < used; ++j) lanes[j] = hn::Zero(DF());
  for (int64_t i = begin; i < end; ++i) {
    VF& lane = lanes[(i - begin) % kSumLanes];
    lane = Step()(lane, vector.load(x + plan.row_offsets()[i]));
  }
  for (int64_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (int64_t j = 0; j < half && j + half < used; ++j) lanes[j] = hn::Add(lanes[j], lanes[j + half]);
  }
  vector.store(lanes[0], sums);
}

// Writes partial sums [kept][leaf][column].
template <class Step, class T>
void SumLeaves(const SumPlan& plan, const T* x, float* partials) {
  const int64_t leaves = plan.leaves(), columns = plan.columns();
  const int64_t items = static_cast<int64_t>(plan.kept_offsets().size()) * leaves;
  const int64_t grain = row_grain(plan.leaf() * columns);
  parallel_for("sum", items, grain, [&](int64_t first, int64_t last) HWY_ATTR {
    for (int64_t item = first; item < last; ++item) {
      const T* base = x + plan.kept_offsets()[item / leaves];
      const int64_t begin = item % leaves * plan.leaf(), end = std::min(begin + plan.leaf(), plan.terms());
      if (columns == 1) {
        partials[item] = SumRuns<Step>(plan, base, begin, end);
        continue;
      }
      ForVectors(columns, [&](auto vector, int64_t c) HWY_ATTR {
        SumColumns<Step>(plan, base + c, begin, end, vector, partials + item * columns + c);
      });
    }
  });
}

void sum_leaves(const SumPlan& plan, Dtype dtype, const void* x, float* partials) {
  VisitKernelFormat(
      dtype, [&]<class T>() HWY_ATTR { SumLeaves<AddTerm>(plan, static_cast<const T*>(x), partials); });
}

void sum_leaves_of_squares(const SumPlan& plan, const float* x, float* partials) {
  SumLeaves<AddSquare>(plan, x, partials);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(sum_leaves);
HWY_EXPORT(sum_leaves_of_squares);

// Offsets of all indices over the axes of one kind, row-major.
std::vector<int64_t> offsets_of(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides) {
  std::vector<int64_t> offsets = {0};
  for (size_t axis = 0; axis < sizes.size(); ++axis) {
    std::vector<int64_t> finer;
    for (const int64_t offset : offsets) {
      for (int64_t i = 0; i < sizes[axis]; ++i) finer.push_back(offset + i * strides[axis]);
    }
    offsets = std::move(finer);
  }
  return offsets;
}

// The tree of numerics.md 2.3 over the leaves of each kept index, all columns of a leaf at once. The partial sums are
// used up.
void join_leaves(const SumPlan& plan, std::vector<float>& partials, float* sums) {
  const int64_t leaves = plan.leaves(), columns = plan.columns();
  if (leaves == 0) return static_cast<void>(std::fill_n(sums, plan.sums(), 0.0f));
  const auto row = [&](float* first, int64_t leaf) { return first + leaf * columns; };
  for (int64_t sum = 0; sum < plan.sums(); sum += columns) {
    float* first = partials.data() + sum * leaves;
    for (int64_t left = leaves; left > 1; left = (left + 1) / 2) {
      for (int64_t i = 0; i < left / 2; ++i) {
        const float *a = row(first, 2 * i), *b = row(first, 2 * i + 1);
        std::transform(a, a + columns, b, row(first, i), std::plus<>());
      }
      if (left % 2) std::copy_n(row(first, left - 1), columns, row(first, left / 2));
    }
    std::copy_n(first, columns, sums + sum);
  }
}

}  // namespace

SumPlan::SumPlan(const std::vector<int64_t>& shape, const std::vector<bool>& reduced) {
  struct Axis {
    bool reduced;
    int64_t size, stride;
  };
  std::vector<Axis> merged;  // innermost first
  int64_t stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] == 1) continue;
    if (!merged.empty() && merged.back().reduced == reduced[axis])
      merged.back().size *= shape[axis];
    else
      merged.push_back({reduced[axis], shape[axis], stride});
    stride *= shape[axis];
  }
  std::vector<int64_t> sizes[2], strides[2];  // [reduced]
  for (size_t i = merged.size(); i-- > 1;) {
    sizes[merged[i].reduced].push_back(merged[i].size);
    strides[merged[i].reduced].push_back(merged[i].stride);
  }
  if (!merged.empty()) (merged[0].reduced ? run_ : columns_) = merged[0].size;
  kept_offsets_ = offsets_of(sizes[false], strides[false]);
  row_offsets_ = offsets_of(sizes[true], strides[true]);
  const bool over_samples = !shape.empty() && reduced[0] && shape[0] > 0;
  leaf_ = over_samples ? std::min(kLeafSamples, shape[0]) * (terms() / shape[0]) : terms();
}

void sum_over_axes(const SumPlan& plan, Dtype dtype, const void* x, float* sums) {
  std::vector<float> partials(static_cast<size_t>(plan.sums() * plan.leaves()));
  if (plan.leaves() > 0) HWY_DYNAMIC_DISPATCH(sum_leaves)(plan, dtype, x, partials.data());
  join_leaves(plan, partials, sums);
}

void sum_squares_over_axes(const SumPlan& plan, const float* x, float* sums) {
  std::vector<float> partials(static_cast<size_t>(plan.sums() * plan.leaves()));
  if (plan.leaves() > 0) HWY_DYNAMIC_DISPATCH(sum_leaves_of_squares)(plan, x, partials.data());
  join_leaves(plan, partials, sums);
}

}  // namespace faultline
#endif  // HWY_ONCE
