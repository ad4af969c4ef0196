#include "harness/difference.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "engine/base/error.h"

namespace faultline::harness {
namespace {

Tensor f32(const std::vector<double>& values) {
  return Tensor::from({static_cast<int64_t>(values.size())}, Dtype::kF32, values);
}

TEST_CASE("difference: equal tensors differ nowhere") {
  const TensorDifference d = difference(f32({1, -0.0, NAN, INFINITY}), f32({1, -0.0, NAN, INFINITY}));
  CHECK(d.first == -1);
  CHECK(d.differing == 0);
}

TEST_CASE("difference: the first element, the count and the largest distances are found") {
  const TensorDifference d = difference(f32({1, 2, 3, 4}), f32({1, 2 + 0x1p-22, 3, 4 + 3 * 0x1p-21}));
  CHECK(d.first == 1);
  CHECK(d.differing == 2);
  CHECK(d.largest_ulp == 3);
  CHECK(d.largest == 3 * 0x1p-21);
}

TEST_CASE("difference: +0 and -0 differ by no ulp, a NaN differs from a number beyond measure") {
  const TensorDifference zeros = difference(f32({0.0}), f32({-0.0}));
  CHECK(zeros.differing == 1);
  CHECK(zeros.largest_ulp == 0);
  CHECK(zeros.largest == 0);
  const TensorDifference nan = difference(f32({NAN}), f32({1}));
  CHECK(nan.largest_ulp == std::numeric_limits<int64_t>::max());
  CHECK(std::isinf(nan.largest));
  CHECK(difference(f32({3.4028234663852886e38}), f32({INFINITY})).largest_ulp == 1);
}

TEST_CASE("difference: one ulp is one ulp in every format, and integers count by one") {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF64}) {
    const double next = 1 + 2 * unit_roundoff(dtype);
    CHECK(difference(Tensor::full({2}, dtype, 1), Tensor::from({2}, dtype, {1, next})).largest_ulp == 1);
  }
  CHECK(difference(Tensor::full({1}, Dtype::kI32, 3), Tensor::full({1}, Dtype::kI32, 8)).largest_ulp == 5);
}

TEST_CASE("difference: views are compared in logical order") {
  const Tensor a = Tensor::from({2, 3}, Dtype::kF32, {0, 1, 2, 3, 4, 5});
  const Tensor b = Tensor::from({3, 2}, Dtype::kF32, {0, 3, 1, 4, 2, 6});
  CHECK(difference(a, b.transpose(0, 1)).first == 5);
}

TEST_CASE("difference: tensors of other shapes or formats are refused") {
  CHECK_THROWS_AS(difference(f32({1}), f32({1, 2})), Error);
  CHECK_THROWS_AS(difference(f32({1}), Tensor::full({1}, Dtype::kF16, 1)), Error);
}

}  // namespace
}  // namespace faultline::harness
