#include "engine/optim/clip.h"

#include <catch2/catch.hpp>

#include "engine/base/error.h"

namespace faultline {
namespace {

std::vector<Variable> three_and_four() {
  std::vector<Variable> parameters = {Variable(Tensor::zeros({1}, Dtype::kF32), true, "a"),
                                      Variable(Tensor::zeros({2}, Dtype::kF32), true, "b")};
  parameters[0].set_grad(Tensor::from({1}, Dtype::kF32, {3}));
  parameters[1].set_grad(Tensor::from({2}, Dtype::kF32, {0, -4}));
  return parameters;
}

TEST_CASE("clip: the norm is that of all gradients together") {
  CHECK(gradient_norm(three_and_four()) == 5.0f);
}

TEST_CASE("clip: gradients above the norm are scaled by one factor, others are left alone") {
  std::vector<Variable> parameters = three_and_four();
  CHECK(clip_gradient_norm(parameters, 2.5) == 5.0f);
  const float factor = 2.5f / (5.0f + 1e-6f);
  CHECK(parameters[0].grad().to_vector() == std::vector<double>{3.0f * factor});
  CHECK(parameters[1].grad().to_vector() == std::vector<double>{0, -4.0f * factor});

  std::vector<Variable> small = three_and_four();
  const void* before = small[0].grad().raw();
  CHECK(clip_gradient_norm(small, 6) == 5.0f);
  CHECK(small[0].grad().raw() == before);
}

TEST_CASE("clip: the sum of squares runs over 64 lanes and their tree") {
  std::vector<double> values(200);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 1.0 / static_cast<double>(3 + i);
  std::vector<Variable> parameters = {Variable(Tensor::zeros({200}, Dtype::kF32), true, "w")};
  parameters[0].set_grad(Tensor::from({200}, Dtype::kF32, values));
  float lanes[64] = {};
  for (size_t i = 0; i < values.size(); ++i) {
    const float g = static_cast<float>(values[i]);
    lanes[i % 64] += g * g;
  }
  for (int half = 32; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  CHECK(gradient_norm(parameters) == std::sqrt(lanes[0]));
}

TEST_CASE("clip: a norm out of range is refused") {
  CHECK_THROWS_WITH(clip_gradient_norm(three_and_four(), -1),
                    "gradient clipping: max_norm = -1 is out of range, it must be from 0 to 1e+30");
}

}  // namespace
}  // namespace faultline
