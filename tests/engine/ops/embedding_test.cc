#include <catch2/catch.hpp>

#include "tests/engine/ops/op_call.h"

namespace faultline {

TEST_CASE("embedding: picks rows, and each row collects the gradients of its tokens") {
  const Tensor w = Tensor::from({3, 2}, Dtype::kF32, {1, 2, 3, 4, 5, 6});
  const Tensor indices = Tensor::from({2, 2}, Dtype::kI32, {2, 0, 2, 2});
  CHECK(forward("embedding", {w, indices})[0].to_vector() == std::vector<double>{5, 6, 1, 2, 5, 6, 5, 6});
  const Tensor dy = Tensor::from({2, 2, 2}, Dtype::kF32, {1, 2, 10, 20, 100, 200, 1000, 2000});
  CHECK(backward("embedding", {w, indices}, dy)[0].to_vector() ==
        std::vector<double>{10, 20, 0, 0, 1101, 2202});
}

TEST_CASE("embedding: a batch of two leaves has the gradient of their sum, in every bit") {
  const Tensor w = Tensor::zeros({1, 1}, Dtype::kF32);
  std::vector<double> values;
  for (int i = 0; i < 16; ++i) values.push_back(1.0 / (i + 3));
  const auto gradient = [&](int begin, int end) {
    const Tensor indices = Tensor::zeros({end - begin}, Dtype::kI32);
    const Tensor dy =
        Tensor::from({end - begin, 1}, Dtype::kF32, {values.begin() + begin, values.begin() + end});
    return static_cast<float>(backward("embedding", {w, indices}, dy)[0].at(0));
  };
  CHECK(gradient(0, 16) == gradient(0, 8) + gradient(8, 16));
}

TEST_CASE("embedding: an index outside the table is refused with its place") {
  const Tensor w = Tensor::zeros({3, 2}, Dtype::kF32);
  CHECK(refusal("embedding", {w, Tensor::from({2, 2}, Dtype::kI32, {0, 1, 3, 0})}) ==
        "embedding: index 3 at [1, 0] is not a row of w [3, 2] f32");
  CHECK(refusal("embedding", {w, Tensor::from({1}, Dtype::kI32, {-1})}) ==
        "embedding: index -1 at [0] is not a row of w [3, 2] f32");
  CHECK(refusal("embedding", {w, Tensor::zeros({2}, Dtype::kF32)}) ==
        "embedding: w must be a float and indices i32: w [3, 2] f32, indices [2] f32");
}

}  // namespace faultline
