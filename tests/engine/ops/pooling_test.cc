#include "engine/ops/pooling.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "engine/ops/samples.h"
#include "engine/tensor/digest.h"
#include "tests/engine/ops/op_call.h"

namespace faultline {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor plane(const std::vector<double>& values, int64_t rows) {
  return Tensor::from({1, 1, rows, static_cast<int64_t>(values.size()) / rows}, Dtype::kF32, values);
}

const Attributes kTwoByTwo = pool_attributes({2, 2}, {}, {0, 0});

}  // namespace

TEST_CASE("max_pool2d: takes the maximum of each window and sends its gradient there") {
  const Tensor x = plane({1, 5, 2, 0,  //
                          3, 4, 7, 6},
                         2);
  CHECK(forward("max_pool2d", {x}, kTwoByTwo)[0].to_vector() == std::vector<double>{5, 7});
  CHECK(backward("max_pool2d", {x}, plane({10, 20}, 1), kTwoByTwo)[0].to_vector() ==
        std::vector<double>{0, 10, 0, 0, 0, 0, 20, 0});
}

TEST_CASE("max_pool2d: windows side by side give the bits of the definition, in planes of any width") {
  const OpDef& op = Registry<OpDef>::instance().find("max_pool2d");
  for (Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBf16}) {
    for (int64_t width : {2, 4, 10, 14, 16, 28, 34}) {
      for (int64_t planes : {1, 3, 40}) {
        const OpCall call{{sample_tensor({1, planes, 6, width}, Fill::kReals, 1).to(dtype)}, kTwoByTwo, {}};
        const Tensors want = op.forward_reference(call), got = evaluate_forward(op, call);
        const Tensor dy = sample_tensor({1, planes, 3, width / 2}, Fill::kReals, 2).to(dtype);
        const OpGradCall grad{call, want, dy, {true}};
        CHECK(digest(got[0]) == digest(want[0]));
        CHECK(digest(evaluate_backward(op, grad)[0]) == digest(op.backward_reference(grad)[0]));
      }
    }
  }
}

TEST_CASE("max_pool2d: overlapping windows add up at an element that wins twice") {
  const Tensor x = plane({1, 9, 1, 2}, 1);
  const Attributes attributes = pool_attributes({1, 2}, {1, 1}, {0, 0});
  CHECK(forward("max_pool2d", {x}, attributes)[0].to_vector() == std::vector<double>{9, 9, 2});
  CHECK(backward("max_pool2d", {x}, plane({1, 2, 4}, 1), attributes)[0].to_vector() ==
        std::vector<double>{0, 3, 0, 4});
}

TEST_CASE("max_pool2d: the first of equal elements wins, also among infinities and zeros of either sign") {
  const Tensor x = plane({-kInfinity, -kInfinity, -0.0, 0.0,  //
                          -kInfinity, -kInfinity, 0.0, -0.0},
                         2);
  const Tensor y = forward("max_pool2d", {x}, kTwoByTwo)[0];
  CHECK(y.at(0) == -kInfinity);
  CHECK(std::signbit(y.at(1)));
  CHECK(backward("max_pool2d", {x}, plane({3, 4}, 1), kTwoByTwo)[0].to_vector() ==
        std::vector<double>{3, 0, 4, 0, 0, 0, 0, 0});
}

TEST_CASE("max_pool2d: a NaN wins, the first one where there are several") {
  const Tensor x = plane({1, kNan, kNan, kNan,  //
                          kInfinity, kNan, kNan, kNan},
                         2);
  const Tensor y = forward("max_pool2d", {x}, kTwoByTwo)[0];
  CHECK(std::isnan(y.at(0)));
  CHECK(std::isnan(y.at(1)));
  CHECK(backward("max_pool2d", {x}, plane({3, 4}, 1), kTwoByTwo)[0].to_vector() ==
        std::vector<double>{0, 3, 4, 0, 0, 0, 0, 0});
}

TEST_CASE("max_pool2d: padding takes no part, not even against minus infinity") {
  const Tensor x = plane({-kInfinity, -3, -5, -7}, 2);
  const Attributes attributes = pool_attributes({2, 2}, {2, 2}, {1, 1});
  CHECK(forward("max_pool2d", {x}, attributes)[0].to_vector() == std::vector<double>{-kInfinity, -3, -5, -7});
  CHECK(backward("max_pool2d", {x}, plane({1, 2, 3, 4}, 2), attributes)[0].to_vector() ==
        std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("avg_pool2d: divides by the whole kernel, padding as zeros") {
  const Tensor x = plane({1, 2, 3, 6}, 2);
  CHECK(forward("avg_pool2d", {x}, kTwoByTwo)[0].to_vector() == std::vector<double>{3});
  const Attributes padded = pool_attributes({2, 2}, {1, 1}, {1, 1});
  CHECK(forward("avg_pool2d", {x}, padded)[0].to_vector() ==
        std::vector<double>{0.25, 0.75, 0.5, 1, 3, 2, 0.75, 2.25, 1.5});
}

TEST_CASE("avg_pool2d: each element gets a share of every window that holds it") {
  const Tensor x = plane({1, 2, 3}, 1);
  const Attributes attributes = pool_attributes({1, 2}, {1, 1}, {0, 0});
  CHECK(backward("avg_pool2d", {x}, plane({4, 8}, 1), attributes)[0].to_vector() ==
        std::vector<double>{2, 6, 4});
}

TEST_CASE("pooling: bad input is refused with shapes and sizes") {
  const Tensor x = Tensor::zeros({1, 2, 4, 5}, Dtype::kF16);
  for (const std::string op : {"max_pool2d", "avg_pool2d"}) {
    CHECK(refusal(op, {Tensor::zeros({4, 5}, Dtype::kF32)}, kTwoByTwo) ==
          op + ": x must be [N, C, H, W]: [4, 5] f32");
    CHECK(refusal(op, {Tensor::zeros({1, 1, 4, 4}, Dtype::kI32)}, kTwoByTwo) ==
          op + ": x must be a float: [1, 1, 4, 4] i32");
    CHECK(refusal(op, {x}, pool_attributes({5, 2}, {}, {0, 0})) ==
          op + ": kernel [5, 2] does not fit into x [1, 2, 4, 5] f16 with padding [0, 0]");
    CHECK(refusal(op, {x}, pool_attributes({2, 2}, {}, {2, 0})) ==
          op + ": padding [2, 0] is more than half the kernel [2, 2]: a window would hold padding alone");
    CHECK(refusal(op, {x}, pool_attributes({2, 2}, {0, 1}, {0, 0})) ==
          op + ": stride must be two sizes of at least 1, not [0, 1]");
  }
}

}  // namespace faultline
