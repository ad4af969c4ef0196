#include "engine/tensor/tensor.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "engine/base/error.h"

namespace faultline {
namespace {

using Values = std::vector<double>;

Tensor counted(const Shape& shape, Dtype dtype = Dtype::kF32) {
  Values values(static_cast<size_t>(element_count(shape)));
  std::iota(values.begin(), values.end(), 0);
  return Tensor::from(shape, dtype, values);
}

}  // namespace

TEST_CASE("tensor: values are rounded once to the format and come back widened") {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF64}) {
    const Tensor tensor = Tensor::from({2}, dtype, {1.0 / 3, -0.0});
    CHECK(tensor.at(0) == round_to(1.0 / 3, dtype));
    CHECK(std::signbit(tensor.at(1)));
    CHECK(tensor.size_bytes() == 2 * size_bytes(dtype));
  }
  CHECK(Tensor::full({2, 2}, Dtype::kI32, 7).to_vector() == Values{7, 7, 7, 7});
  CHECK(Tensor::zeros({}, Dtype::kF16).to_vector() == Values{0});
}

TEST_CASE("tensor: transpose, permute, slice and expand are views of the same elements") {
  Tensor x = counted({2, 3});
  CHECK(x.transpose(0, 1).to_vector() == Values{0, 3, 1, 4, 2, 5});
  CHECK(x.slice(1, 1, 3).to_vector() == Values{1, 2, 4, 5});
  CHECK(x.slice(0, 1, 1).size() == 0);
  CHECK(x.slice(0, 1, 2).expand({2, 3}).to_vector() == Values{3, 4, 5, 3, 4, 5});
  CHECK(counted({2, 1, 3}).permute({2, 0, 1}).to_vector() == Values{0, 3, 1, 4, 2, 5});
  Tensor view = x.transpose(0, 1);
  view.set(1, 30);
  CHECK(x.at(3) == 30);
}

TEST_CASE("tensor: a view of a view keeps its place") {
  const Tensor x = counted({4, 5});
  CHECK(x.slice(0, 1, 3).transpose(0, 1).slice(0, 2, 4).to_vector() == Values{7, 12, 8, 13});
}

TEST_CASE("tensor: contiguous copies only what is not row-major") {
  const Tensor x = counted({2, 3});
  CHECK(x.contiguous().raw() == x.raw());
  CHECK(x.slice(0, 1, 2).is_contiguous());
  CHECK_FALSE(x.slice(1, 0, 2).is_contiguous());
  const Tensor copy = x.transpose(0, 1).contiguous();
  CHECK(copy.raw() != x.raw());
  CHECK(copy.is_contiguous());
  CHECK(copy.to_vector() == Values{0, 3, 1, 4, 2, 5});
}

TEST_CASE("tensor: reshape keeps row-major order, of a view too, and works out one size") {
  const Tensor x = counted({2, 6});
  CHECK(x.reshape({3, -1}).shape() == Shape{3, 4});
  CHECK(x.reshape({3, 4}).raw() == x.raw());
  CHECK(x.transpose(0, 1).reshape({12}).to_vector() == Values{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11});
  CHECK(counted({1}).reshape({}).rank() == 0);
  CHECK(Tensor::zeros({0, 3}, Dtype::kF32).reshape({3, -1}).shape() == Shape{3, 0});
}

TEST_CASE("tensor: to rounds once to nearest even and keeps shape and order of a view") {
  const Tensor x = Tensor::from({2, 2}, Dtype::kF32, {1, 65519, 65520, 0x1p-25});
  const Tensor half = x.transpose(0, 1).to(Dtype::kF16);
  CHECK(half.to_vector() == Values{1, INFINITY, 65504, 0});
  CHECK(x.to(Dtype::kF32).raw() == x.raw());
}

TEST_CASE("tensor: broadcasting aligns at the right and stretches sizes of 1") {
  CHECK(broadcast("add", {3, 1, 5}, {4, 1}) == Shape{3, 4, 5});
  CHECK(broadcast("add", {}, {2}) == Shape{2});
  CHECK(broadcast("add", {0, 1}, {1, 3}) == Shape{0, 3});
  CHECK_THROWS_WITH(broadcast("add", {2, 3}, {2}), "add: shapes do not broadcast: [2, 3] and [2]");
}

TEST_CASE("tensor: unravel gives one index per axis") {
  CHECK(counted({2, 3, 4}).unravel(17) == std::vector<int64_t>{1, 1, 1});
}

TEST_CASE("tensor: what does not fit is an error that names shapes and formats") {
  const Tensor x = counted({2, 3});
  CHECK_THROWS_WITH(x.reshape({4, 2}), "reshape: [2, 3] f32 does not fit [4, 2]");
  CHECK_THROWS_WITH(x.reshape({4, -1}), Catch::Contains("does not fit"));
  CHECK_THROWS_WITH(x.slice(1, 2, 5), "slice: 2 .. 5 of axis 1 is not in [2, 3] f32");
  CHECK_THROWS_WITH(x.permute({0, 0}), Catch::Contains("do not permute [2, 3] f32"));
  CHECK_THROWS_WITH(x.expand({3, 3}), Catch::Contains("[2, 3]"));
  CHECK_THROWS_WITH(x.data<F16>(), "tensor: read as f16, but it is [2, 3] f32");
  CHECK_THROWS_WITH(Tensor().data<float>(), "tensor: read as f32, but it is undefined");
  CHECK_THROWS_WITH(Tensor::from({2}, Dtype::kF32, {1}), "tensor: 1 values for [2] f32");
  CHECK_THROWS_WITH(Tensor::empty({2, -1}, Dtype::kF32), Catch::Contains("negative size"));
  CHECK_THROWS_WITH(Tensor::empty({2}, Dtype::kTf32), Catch::Contains("store it as f32"));
}

}  // namespace faultline
