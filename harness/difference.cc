#include "harness/difference.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"
#include "engine/numerics/ulp.h"

namespace faultline::harness {
namespace {

bool same(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::isnan(a) && std::isnan(b)
                                        : a == b && std::signbit(a) == std::signbit(b);
}

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
    for (int64_t i = 0; i < a.size(); ++i) {
      const double x = widen(whole_a.data<T>()[i]), y = widen(whole_b.data<T>()[i]);
      if (same(x, y)) continue;
      if (result.first < 0) result.first = i;
      ++result.differing;
      result.largest_ulp = std::max(result.largest_ulp, ulp_distance(x, y, a.dtype()));
      result.largest = std::max(result.largest, magnitude(x - y));
    }
  });
  return result;
}

}  // namespace faultline::harness
