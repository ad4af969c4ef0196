#include <catch2/catch.hpp>
#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/numerics/philox.h"
#include "models/layers/batch_norm.h"
#include "models/layers/embedding.h"
#include "models/layers/functional.h"
#include "models/layers/layer_norm.h"

namespace faultline::models {
namespace {

Tensor normal_tensor(const Shape& shape) {
  Tensor x = Tensor::empty(shape, Dtype::kF32);
  Draws draws(5, "layers");
  for (int64_t i = 0; i < x.size(); ++i)
    x.mutable_data<float>()[i] = static_cast<float>(3 + 2 * draws.normal());
  return x;
}

struct Evaluation {
  Evaluation() { execution().training = false; }
  ~Evaluation() { execution().training = true; }
};

TEST_CASE("batch_norm layer: running statistics move by a tenth in training and stay in evaluation") {
  Parameters parameters(1);
  BatchNorm layer(parameters, "bn1", 2);
  REQUIRE(parameters.buffers().size() == 2);
  const Variable &mean = parameters.buffers()[0], &variance = parameters.buffers()[1];
  CHECK(mean.name() == "bn1.running_mean");
  CHECK(variance.value().to_vector() == std::vector<double>{1, 1});
  // Channel 0 holds 1 and 3, channel 1 holds 0 and 4: means 2 and 2, unbiased variances 2 and 8.
  const Variable x(Tensor::from({2, 2}, Dtype::kF32, {1, 0, 3, 4}));
  layer(x);
  CHECK(mean.value().at(0) == Approx(0.2).epsilon(0x1p-22));
  CHECK(variance.value().at(0) == Approx(1.1).epsilon(0x1p-22));
  CHECK(variance.value().at(1) == Approx(1.7).epsilon(0x1p-22));
  const std::vector<double> before = variance.value().to_vector();
  const Evaluation evaluation;
  layer(x);
  CHECK(variance.value().to_vector() == before);
}

TEST_CASE("batch_norm layer: what follows it runs in the same op") {
  Parameters parameters(1);
  BatchNorm layer(parameters, "bn1", 1);
  const Variable x(Tensor::from({2, 1}, Dtype::kF32, {1, 3})),
      skip(Tensor::from({2, 1}, Dtype::kF32, {4, -3}));
  const Tensor y = layer(x, {.residual = skip, .relu = true}).value();
  CHECK(y.at(0) == Approx(3).epsilon(1e-4));
  CHECK(y.at(1) == 0);
}

TEST_CASE("layer_norm layer: rows get mean 0 and variance 1") {
  Parameters parameters(1);
  const LayerNorm layer(parameters, "ln1", {50});
  CHECK(parameters.trained().size() == 2);
  const Tensor y = layer(Variable(normal_tensor({4, 50}))).value();
  for (int64_t row = 0; row < 4; ++row) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < 50; ++i) {
      sum += y.at(50 * row + i);
      squares += y.at(50 * row + i) * y.at(50 * row + i);
    }
    CHECK(std::fabs(sum / 50) < 64 * 0x1p-24 * 5);
    CHECK(squares / 50 == Approx(1).epsilon(1e-5));  // eps beside a variance of about 4
  }
}

TEST_CASE(
    "embedding layer: a token's vector is its row of the table, and repeated tokens add their gradients") {
  Parameters parameters(1);
  const Embedding layer(parameters, "tokens", 5, 3);
  const Variable y = layer(Variable(Tensor::from({4}, Dtype::kI32, {2, 0, 2, 4})));
  const Variable& table = parameters.trained()[0];
  for (int64_t i = 0; i < 3; ++i) {
    CHECK(y.value().at(i) == table.value().at(2 * 3 + i));
    CHECK(y.value().at(3 + i) == table.value().at(i));
  }
  y.backward();
  CHECK(table.grad().to_vector() == std::vector<double>{1, 1, 1, 0, 0, 0, 2, 2, 2, 0, 0, 0, 1, 1, 1});
  CHECK(parameters.draws().at("init/tokens.weight") == 2 * 15);  // Box-Muller takes two numbers a value
}

TEST_CASE("embedding layer: the table is standard normal") {
  Parameters parameters(1);
  const Variable table = parameters.normal("w", {100, 100});
  double sum = 0, squares = 0;
  for (const double value : table.value().to_vector()) {
    sum += value;
    squares += value * value;
  }
  // Six standard deviations of the mean and of the second moment of 10,000 draws.
  CHECK(std::fabs(sum / 1e4) < 6 / 100.0);
  CHECK(std::fabs(squares / 1e4 - 1) < 6 * std::sqrt(2) / 100);
}

TEST_CASE("dropout layer: drops in training alone, another mask at each step and layer") {
  const Variable x(Tensor::full({1000}, Dtype::kF32, 1));
  begin_step(3);
  const std::vector<double> a = named_dropout("drop1", x, 0.5).value().to_vector();
  CHECK(a == named_dropout("drop1", x, 0.5).value().to_vector());
  CHECK(a != named_dropout("drop2", x, 0.5).value().to_vector());
  begin_step(4);
  CHECK(a != named_dropout("drop1", x, 0.5).value().to_vector());
  for (const double value : a) CHECK((value == 0 || value == 2));
  const Evaluation evaluation;
  CHECK(named_dropout("drop1", x, 0.5).value().to_vector() == x.value().to_vector());
}

}  // namespace
}  // namespace faultline::models
