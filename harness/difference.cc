#include "harness/difference.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"
#include "engine/numerics/ulp.h"

namespace faultline::harness {
namespace {

double magnitude(double difference) { return std::isfinite(difference) ? std::abs(difference) : INFINITY; }

}  // namespace

TensorDifference difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) {
    throw Error(a.shape() == b.shape() ? ErrorCode::kDtype : ErrorCode::kShape, "difference",
                "tensors are not alike: " + a.describe() + " and " + b.describe());
  }
  TensorDifference result;
  const Tensor whole_a = a.contiguous(), whole_b = b.contiguous();
  visit(a.dtype(), [&]<class T>() {
    const T *x = whole_a.data<T>(), *y = whole_b.data<T>();
    for (int64_t i = 0, n = a.size(); i < n; ++i) {
      if (stored_bits(x[i]) == stored_bits(y[i])) continue;
      const double left = widen(x[i]), right = widen(y[i]);
      if (std::isnan(left) && std::isnan(right)) continue;
      if (result.first < 0) result.first = i;
      ++result.differing;
      result.largest_ulp = std::max(result.largest_ulp, stored_ulp_distance(x[i], y[i], a.dtype()));
      result.largest = std::max(result.largest, magnitude(left - right));
    }
  });
  return result;
}

}  // namespace faultline::harness
