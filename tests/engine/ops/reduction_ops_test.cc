#include <catch2/catch.hpp>
#include <cmath>

#include "engine/base/error.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/log_softmax.h"
#include "engine/ops/mean.h"
#include "engine/ops/mse.h"
#include "engine/ops/samples.h"
#include "engine/ops/softmax.h"
#include "engine/ops/sum.h"

namespace faultline {
namespace {

using Values = std::vector<double>;

Variable variable(const Shape& shape, const Values& values) {
  return Variable(Tensor::from(shape, Dtype::kF32, values), true);
}

Values values(const Variable& x) { return x.value().to_vector(); }

Variable labels(const Values& values) {
  return Variable(Tensor::from({static_cast<int64_t>(values.size())}, Dtype::kI32, values));
}

}  // namespace

TEST_CASE("sum, mean: axes are dropped or kept, and the gradient spreads over them") {
  const Variable x = variable({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(values(sum(x)) == Values{21});
  CHECK(values(sum(x, {0})) == Values{5, 7, 9});
  CHECK(values(mean(x, {-1})) == Values{2, 5});
  CHECK(sum(x, {1}, true).value().shape() == Shape{2, 1});
  CHECK(sum(x, {1}).value().shape() == Shape{2});
  mean(x, {1}).backward(Tensor::from({2}, Dtype::kF32, {3, 6}));
  CHECK(x.grad().to_vector() == Values{1, 1, 1, 2, 2, 2});
}

TEST_CASE("sum: a sum over samples is the tree of the sums of its leaves of 8") {
  const Tensor x = sample_tensor({40, 3}, Fill::kReals, 5);
  std::vector<float> leaf;
  for (int64_t n = 0; n < 40; n += 8)
    leaf.push_back(static_cast<float>(sum(Variable(x.slice(0, n, n + 8))).value().at(0)));
  CHECK(sum(Variable(x)).value().at(0) == ((leaf[0] + leaf[1]) + (leaf[2] + leaf[3])) + leaf[4]);
}

TEST_CASE("sum: without samples the 64 lanes are added by halves") {
  // Lanes 0 and 32 meet first: 1e8 - 1e8; the other terms survive.
  Values terms(64, 1);
  terms[0] = 1e8;
  terms[32] = -1e8;
  CHECK(values(sum(variable({1, 64}, terms), {1})) == Values{62});
}

TEST_CASE("softmax, log_softmax: any axis, no overflow, NaN takes its row") {
  const Variable x = variable({2, 2}, {1000, 1000 + std::log(3.0), 0, NAN});
  const Values y = values(softmax(x)), log_y = values(log_softmax(x));
  CHECK(y[0] == Approx(0.25).epsilon(1e-4));
  CHECK(log_y[1] == Approx(std::log(0.75)).epsilon(1e-3));
  CHECK(std::isnan(y[2]));
  CHECK(std::isnan(log_y[3]));
  CHECK(values(softmax(variable({2, 1}, {5, 5}), 0)) == Values{0.5, 0.5});
  CHECK_THROWS_WITH(softmax(x, 2), "softmax: no axis axis=2 in [2, 2] f32");
}

TEST_CASE("cross entropy: the mean of -log p, gradient (p - onehot) / N") {
  const Variable logits = variable({2, 2}, {0, std::log(3.0), 0, 0});
  const Variable loss = cross_entropy(logits, labels({1, 0}));
  CHECK(loss.value().describe() == "[] f32");
  CHECK(loss.value().at(0) == Approx((-std::log(0.75) - std::log(0.5)) / 2).epsilon(1e-6));
  loss.backward();
  const Values expected = {0.25 / 2, -0.25 / 2, -0.5 / 2, 0.5 / 2};
  for (int i = 0; i < 4; ++i) CHECK(logits.grad().at(i) == Approx(expected[i]).epsilon(1e-6));
}

TEST_CASE("cross entropy: what does not fit is an error with the place") {
  const Variable logits = variable({2, 2}, Values(4));
  CHECK_THROWS_WITH(cross_entropy(logits, labels({0, 2})),
                    "cross_entropy: label 2 at index 1 is not in 0 .. 1");
  CHECK_THROWS_WITH(cross_entropy(logits, labels({0})),
                    "cross_entropy: logits [N, C] and labels [N] expected: [2, 2] f32, [1] i32");
  CHECK_THROWS_WITH(cross_entropy(logits, logits), Catch::Contains("labels i32"));
}

TEST_CASE("mse: the mean square and its gradient") {
  const Variable x = variable({2}, {1, 2}), target = variable({2}, {0, 4});
  const Variable loss = mse(x, target);
  CHECK(values(loss) == Values{2.5});
  loss.backward();
  CHECK(x.grad().to_vector() == Values{1, -2});
  CHECK(target.grad().to_vector() == Values{-1, 2});
}

TEST_CASE("sum: an axis that does not exist or comes twice is refused") {
  const Variable x = variable({2, 3}, Values(6));
  CHECK_THROWS_WITH(sum(x, {2}), "sum: axes [2] are not distinct axes of [2, 3]");
  CHECK_THROWS_WITH(sum(x, {1, -1}), "sum: axes [1, -1] are not distinct axes of [2, 3]");
}

}  // namespace faultline
