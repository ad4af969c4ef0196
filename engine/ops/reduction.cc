#include "engine/ops/reduction.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"
#include "engine/kernels/reduce.h"
#include "engine/numerics/sum.h"
#include "engine/ops/elementwise.h"

namespace faultline {
namespace {

// The axes of `result` along which an operand of `shape` is broadcast.
std::vector<bool> broadcast_axes(const Shape& result, const Shape& shape) {
  const size_t added = result.size() - shape.size();
  std::vector<bool> axes(result.size());
  for (size_t axis = 0; axis < result.size(); ++axis) {
    axes[axis] = axis < added || (shape[axis - added] == 1 && result[axis] != 1);
  }
  return axes;
}

// A sum whose terms are added as fma(term, term, sum).
template <class T>
struct Square {
  T term;
};
template <class T>
struct SquareSum {
  T value{};

  SquareSum& operator+=(Square<T> square) {
    value = std::fma(square.term, square.term, value);
    return *this;
  }
  SquareSum& operator+=(SquareSum other) {
    value += other.value;
    return *this;
  }
};

// Sums of to_term(x) over the reduced axes, collected in a Sum.
template <class T, class Sum, class ToTerm, class ToValue>
Tensor reference_sums(const Tensor& x, const std::vector<bool>& reduced, ToTerm to_term, ToValue to_value) {
  std::vector<int64_t> order;  // kept axes, then reduced axes
  for (const bool second : {false, true}) {
    for (size_t axis = 0; axis < reduced.size(); ++axis) {
      if (reduced[axis] == second) order.push_back(static_cast<int64_t>(axis));
    }
  }
  const Tensor terms = x.to(dtype_of<T>()).permute(order).contiguous();
  const int64_t count = reduced_count(x.shape(), reduced);
  const bool over_samples = !reduced.empty() && reduced[0] && count > 0;
  Tensor sums = Tensor::empty(kept_shape(x.shape(), reduced), dtype_of<T>());
  for (int64_t sum = 0; sum < sums.size(); ++sum) {
    const T* first = terms.data<T>() + sum * count;
    const auto term = [&](int64_t i) { return to_term(first[i]); };
    sums.mutable_data<T>()[sum] =
        to_value(over_samples ? leaf_sum<Sum>(x.dim(0), count / x.dim(0), term) : lane_sum<Sum>(count, term));
  }
  return sums;
}

bool none(const std::vector<bool>& axes) { return std::find(axes.begin(), axes.end(), true) == axes.end(); }

}  // namespace

std::vector<bool> reduced_axes(const std::string& op, const Shape& shape, const std::vector<int64_t>& axes) {
  const int64_t rank = static_cast<int64_t>(shape.size());
  std::vector<bool> reduced(shape.size(), axes.empty());
  for (const int64_t axis : axes) {
    const int64_t index = axis < 0 ? axis + rank : axis;
    if (index < 0 || index >= rank || reduced[index]) {
      throw Error(ErrorCode::kArgument, op,
                  "axes " + to_string(axes) + " are not distinct axes of " + to_string(shape));
    }
    reduced[index] = true;
  }
  return reduced;
}

Shape kept_shape(const Shape& shape, const std::vector<bool>& reduced) {
  Shape kept = shape;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (reduced[axis]) kept[axis] = 1;
  }
  return kept;
}

int64_t reduced_count(const Shape& shape, const std::vector<bool>& reduced) {
  int64_t count = 1;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (reduced[axis]) count *= shape[axis];
  }
  return count;
}

Tensor sum_axes(const Tensor& x, const std::vector<bool>& reduced) {
  const Tensor from = x.contiguous();
  Tensor sums = Tensor::empty(kept_shape(x.shape(), reduced), Dtype::kF32);
  sum_over_axes(SumPlan(x.shape(), reduced), from.dtype(), from.raw(), sums.mutable_data<float>());
  return sums;
}

Tensor sum_squares(const Tensor& x, const std::vector<bool>& reduced) {
  const Tensor from = x.contiguous();
  Tensor sums = Tensor::empty(kept_shape(x.shape(), reduced), Dtype::kF32);
  sum_squares_over_axes(SumPlan(x.shape(), reduced), from.data<float>(), sums.mutable_data<float>());
  return sums;
}

Tensor sum_axes_reference(const Tensor& x, const std::vector<bool>& reduced) {
  return visit_compute(x.dtype(), [&]<class T>() {
    return reference_sums<T, T>(
        x, reduced, [](T term) { return term; }, [](T sum) { return sum; });
  });
}

Tensor sum_squares_reference(const Tensor& x, const std::vector<bool>& reduced) {
  return visit_compute(x.dtype(), [&]<class T>() {
    return reference_sums<T, SquareSum<T>>(
        x, reduced, [](T term) { return Square<T>{term}; }, [](SquareSum<T> sum) { return sum.value; });
  });
}

Tensor sum_to(const Tensor& values, const Shape& shape, Dtype dtype) {
  const std::vector<bool> axes = broadcast_axes(values.shape(), shape);
  return converted(none(axes) ? values : sum_axes(values, axes), dtype).reshape(shape);
}

Tensor sum_to_reference(const Tensor& values, const Shape& shape, Dtype dtype) {
  const std::vector<bool> axes = broadcast_axes(values.shape(), shape);
  return (none(axes) ? values : sum_axes_reference(values, axes)).to(dtype).reshape(shape);
}

double sum_roundings(const Shape& shape, const std::vector<bool>& reduced) {
  const double terms = static_cast<double>(reduced_count(shape, reduced));
  if (shape.empty() || !reduced[0]) return std::ceil(terms / 64) + 6;
  const double samples = static_cast<double>(std::max<int64_t>(shape[0], 1));
  return std::ceil(8 * terms / samples / 64) + 6 + std::ceil(std::log2(std::ceil(samples / 8)));
}

}  // namespace faultline
