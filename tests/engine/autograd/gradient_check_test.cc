#include "engine/autograd/gradient_check.h"

#include <catch2/catch.hpp>

namespace faultline {
namespace {

// y = x^3 with a derivative that is `scale` times the true one.
OpDef cube(double scale) {
  OpDef op;
  op.name = "cube";
  op.forward_reference = [](const OpCall& call) -> Tensors {
    Tensor y = call.inputs[0].clone();
    for (int64_t i = 0; i < y.size(); ++i) y.set(i, y.at(i) * y.at(i) * y.at(i));
    return {y};
  };
  op.backward_reference = [scale](const OpGradCall& grad) -> Tensors {
    const Tensor& x = grad.call.inputs[0];
    Tensor dx = x.clone();
    for (int64_t i = 0; i < dx.size(); ++i) dx.set(i, grad.grad_output.at(i) * 3 * x.at(i) * x.at(i) * scale);
    return {dx};
  };
  return op;
}

const OpCall kCall{{Tensor::from({3}, Dtype::kF64, {-1.5, 0.25, 2})}, {}, {}};
const Tensor kSeed = Tensor::from({3}, Dtype::kF64, {1, -2, 0.5});

OpCall in_f32(const OpCall& call) { return {{call.inputs[0].to(Dtype::kF32)}, {}, {}}; }

}  // namespace

TEST_CASE("gradient check: the right derivative passes in f64 and in f32") {
  CHECK(check_gradient_f64(cube(1), kCall, kSeed).value_or("") == "");
  CHECK(check_gradient_f32(cube(1), in_f32(kCall), kSeed.to(Dtype::kF32)).value_or("") == "");
}

TEST_CASE("gradient check: a derivative that is off by one part in 10^5 is named with its element") {
  const auto wrong = check_gradient_f64(cube(1.00001), kCall, kSeed);
  REQUIRE(wrong);
  CHECK_THAT(*wrong, Catch::Contains("gradient of cube, input 0, element [0]"));
}

}  // namespace faultline
