#include <catch2/catch.hpp>
#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/ops/accumulate.h"
#include "engine/ops/add.h"
#include "engine/ops/cast.h"
#include "engine/ops/concat.h"
#include "engine/ops/div.h"
#include "engine/ops/dropout.h"
#include "engine/ops/gelu.h"
#include "engine/ops/mul.h"
#include "engine/ops/relu.h"
#include "engine/ops/reshape.h"
#include "engine/ops/sub.h"
#include "engine/ops/transpose.h"

namespace faultline {
namespace {

using Values = std::vector<double>;

Variable variable(const Shape& shape, const Values& values, Dtype dtype = Dtype::kF32) {
  return Variable(Tensor::from(shape, dtype, values), true);
}

Values values(const Variable& x) { return x.value().to_vector(); }

}  // namespace

TEST_CASE("add, sub, mul, div: values and gradients of a broadcast row") {
  const Variable a = variable({2, 3}, {1, 2, 3, 4, 5, 6}), b = variable({3}, {1, 2, 4});
  CHECK(values(add(a, b)) == Values{2, 4, 7, 5, 7, 10});
  CHECK(values(sub(a, b)) == Values{0, 0, -1, 3, 3, 2});
  CHECK(values(mul(a, b)) == Values{1, 4, 12, 4, 10, 24});
  CHECK(values(div(a, b)) == Values{1, 1, 0.75, 4, 2.5, 1.5});
  sub(a, b).backward();
  CHECK(b.grad().to_vector() == Values{-2, -2, -2});
  mul(a, b).backward();
  CHECK(a.grad().to_vector() == Values{1, 2, 4, 1, 2, 4});
  CHECK(b.grad().to_vector() == Values{5, 7, 9});
  div(a, b).backward();
  CHECK(b.grad().to_vector() == Values{-5, -7.0 / 4, -9.0 / 16});
}

TEST_CASE("add: a 16-bit result is the f32 result rounded once") {
  // 2048 + 1 lies half way in f16: to even.
  CHECK(values(add(variable({2}, {2048, 2050}, Dtype::kF16), variable({}, {1}, Dtype::kF16))) ==
        Values{2048, 2052});
}

TEST_CASE("relu: NaN passes, minus zero becomes zero") {
  const Tensor y = relu(variable({4}, {NAN, -0.0, -1, 2})).value();
  CHECK(std::isnan(y.at(0)));
  CHECK_FALSE(std::signbit(y.at(1)));
  CHECK(y.at(2) == 0);
  CHECK(y.at(3) == 2);
}

TEST_CASE("gelu: x times the normal distribution function") {
  for (const double x : {-3.0, -0.5, 0.0, 1.0, 4.0}) {
    CHECK(values(gelu(variable({1}, {x})))[0] ==
          Approx(x * 0.5 * std::erfc(-x / std::sqrt(2))).margin(1e-7).epsilon(1e-6));
  }
}

TEST_CASE("cast: values beyond the format overflow, and the gradient returns in the format of x") {
  const Variable x = variable({3}, {1.0 / 3, 65520, -1e-9});
  const Variable y = cast(x, Dtype::kF16);
  CHECK(values(y) == Values{round_to(1.0 / 3, Dtype::kF16), INFINITY, -0.0});
  y.backward();
  CHECK(x.grad().describe() == "[3] f32");
  CHECK_THROWS_AS(cast(x, Dtype::kTf32), Error);
  CHECK_THROWS_WITH(cast(x, Dtype::kI32), "cast: [3] f32 to i32: both must be stored floats");
}

TEST_CASE("accumulate: left to right in f32, rounded once") {
  const auto f16 = [](double v) { return variable({1}, {v}, Dtype::kF16); };
  CHECK(values(accumulate({f16(1), f16(1), f16(2048)})) == Values{2050});
  CHECK_THROWS_WITH(accumulate({f16(1)}), "accumulate: needs two or more inputs");
  CHECK_THROWS_WITH(accumulate({f16(1), variable({2}, {1, 2}, Dtype::kF16)}),
                    "accumulate: shapes differ: [1] f16 and [2] f16");
}

TEST_CASE("reshape, transpose, concat: elements move, gradients move back") {
  const Variable x = variable({2, 3}, {0, 1, 2, 3, 4, 5});
  CHECK(values(transpose(x, 0, -1)) == Values{0, 3, 1, 4, 2, 5});
  CHECK(reshape(x, {3, -1}).value().shape() == Shape{3, 2});
  CHECK(flatten(variable({2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7})).value().shape() == Shape{2, 4});
  const Variable c = concat({x, variable({2, 1}, {10, 11})}, 1);
  CHECK(values(c) == Values{0, 1, 2, 10, 3, 4, 5, 11});
  c.backward(Tensor::from({2, 4}, Dtype::kF32, {0, 1, 2, 3, 4, 5, 6, 7}));
  CHECK(x.grad().to_vector() == Values{0, 1, 2, 4, 5, 6});
}

TEST_CASE("dropout: about p of the elements are zero, the others scaled; evaluation leaves x alone") {
  const int n = 20000;
  const Variable x = variable({n}, Values(n, 1.0));
  execution().seed = 11;
  begin_step(3);
  const Variable y = dropout(x, 0.25, "layer");
  int dropped = 0;
  for (const double value : values(y)) {
    dropped += value == 0;
    REQUIRE((value == 0 || value == static_cast<float>(1 / 0.75)));
  }
  // Six standard deviations of a binomial.
  CHECK(std::abs(dropped - 0.25 * n) < 6 * std::sqrt(n * 0.25 * 0.75));
  y.backward();
  CHECK(x.grad().to_vector() == values(y));
  CHECK(values(dropout(x, 0.25, "layer")) == values(y));
  CHECK(values(dropout(x, 0.25, "other layer")) != values(y));
  begin_step(4);
  CHECK(values(dropout(x, 0.25, "layer")) != values(y));
  execution().training = false;
  CHECK(dropout(x, 0.25, "layer").state() == x.state());
  execution().training = true;
  CHECK_THROWS_WITH(dropout(x, 1.0, "layer"), Catch::Contains("is not in [0, 1)"));
}

TEST_CASE("element-wise ops: what does not fit is an error with shapes and formats") {
  const Variable x = variable({2, 3}, Values(6)), y = variable({2}, Values(2));
  const Variable labels(Tensor::zeros({2, 3}, Dtype::kI32));
  CHECK_THROWS_WITH(add(x, y), "add: shapes do not broadcast: [2, 3] and [2]");
  CHECK_THROWS_WITH(relu(labels), "relu: inputs must be floats of one format: [2, 3] i32");
  CHECK_THROWS_WITH(transpose(x, 0, 2), "transpose: no axis 2 in [2, 3] f32");
  CHECK_THROWS_WITH(concat({x, y}, 0), "concat: sizes differ off axis 0: [2, 3] f32 and [2] f32");
  CHECK_THROWS_WITH(concat({}, 0), "concat: needs an input");
  CHECK_THROWS_WITH(reshape(x, {4}), "reshape: [2, 3] f32 does not fit [4]");
}

}  // namespace faultline
