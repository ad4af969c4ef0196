#include "amp/underflow.h"

#include <catch2/catch.hpp>

#include "engine/ops/mul.h"

namespace faultline::amp {
namespace {

// dL/dx of x * w with dL/dy = 2^-14, in f16: subnormal below 2^-14, zero at 2^-25 and below.
UnderflowCount count_of(Dtype dtype, const std::vector<double>& w) {
  UnderflowObserver observer;
  const int64_t n = static_cast<int64_t>(w.size());
  const Variable x(Tensor::full({n}, dtype, 1), true, "x");
  execution().observer = &observer;
  begin_step(0);
  {
    const Scope scope("gate");
    mul(x, Variable(Tensor::from({n}, dtype, w))).backward(Tensor::full({n}, dtype, 0x1p-14));
  }
  execution().observer = nullptr;
  if (observer.counts().empty()) return {};
  REQUIRE(observer.counts().size() == 1);
  CHECK(observer.counts().begin()->first == "gate/dlhs");
  return observer.counts().begin()->second;
}

TEST_CASE("underflow: counts what f16 loses, what is subnormal and what is there in f32") {
  //                       normal  normal  subnormal  subnormal  lost      lost       zero in both
  const std::vector<double> w = {1, -2, 0x1p-1, -0x1p-10, 0x1p-11, -0x1p-14, 0};
  CHECK(count_of(Dtype::kF16, w) == UnderflowCount{.lost = 2, .subnormal = 2, .nonzero = 6});
}

TEST_CASE("underflow: bf16 has the range of f32 and loses nothing there") {
  CHECK(count_of(Dtype::kBf16, {1, -2, 0x1p-1, -0x1p-10, 0x1p-11, -0x1p-14, 0}) ==
        UnderflowCount{.lost = 0, .subnormal = 0, .nonzero = 6});
}

TEST_CASE("underflow: f32 gradients are not counted") {
  CHECK(count_of(Dtype::kF32, {1}) == UnderflowCount{});
}

}  // namespace
}  // namespace faultline::amp
