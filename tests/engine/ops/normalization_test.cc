#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "engine/autograd/execution.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/samples.h"
#include "tests/engine/ops/op_call.h"

namespace faultline {
namespace {

const Attributes kTrain = {{"momentum", 0.25}, {"eps", 0.0}, {"relu", int64_t{0}}, {"training", int64_t{1}}};
const Attributes kEvaluate = {
    {"momentum", 0.25}, {"eps", 0.0}, {"relu", int64_t{0}}, {"training", int64_t{0}}};

Tensor row(const std::vector<double>& values, Dtype dtype = Dtype::kF32) {
  return Tensor::from({static_cast<int64_t>(values.size())}, dtype, values);
}

struct Moments {
  double mean = 0, variance = 0;
};
Moments moments_of(const std::vector<double>& values) {
  Moments m;
  m.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  for (const double v : values)
    m.variance += (v - m.mean) * (v - m.mean) / static_cast<double>(values.size());
  return m;
}

}  // namespace

TEST_CASE("batch_norm: normalises each channel and moves the running statistics") {
  // Channel 0: 1 3 5 7, mean 4, variance 5, unbiased 20/3. Channel 1: -1 1 -1 1, mean 0, variance 1, unbiased
  // 4/3.
  const Tensor x = Tensor::from({2, 2, 2}, Dtype::kF64, {1, 3, -1, 1, 5, 7, -1, 1});
  const Tensors inputs = {x,
                          row({1, 2}, Dtype::kF64),
                          row({0, 10}, Dtype::kF64),
                          row({8, 4}, Dtype::kF64),
                          row({4, 0}, Dtype::kF64),
                          Tensor()};
  const Tensors outputs = forward("batch_norm", inputs, kTrain);
  const double r = 1 / std::sqrt(5.0);
  const std::vector<double> expected = {-3 * r, -r, 8, 12, r, 3 * r, 8, 12};
  for (int i = 0; i < 8; ++i) CHECK(outputs[0].at(i) == Approx(expected[i]).epsilon(1e-14));
  CHECK(outputs[1].to_vector() == std::vector<double>{7, 3});
  CHECK(outputs[2].at(0) == Approx(4 + 0.25 * (20.0 / 3 - 4)).epsilon(1e-14));
  CHECK(outputs[2].at(1) == Approx(0.25 * 4 / 3).epsilon(1e-14));
}

TEST_CASE("batch_norm: evaluation uses the running statistics and leaves them") {
  const Tensor x = Tensor::from({1, 2, 2}, Dtype::kF32, {1, 3, 5, 9});
  const Tensors inputs = {x, row({1, 3}), row({0, 1}), row({1, 5}), row({4, 16}), Tensor()};
  const Tensors outputs = forward("batch_norm", inputs, kEvaluate);
  CHECK(outputs[0].to_vector() == std::vector<double>{0, 1, 1, 4});
  CHECK(outputs[1].to_vector() == inputs[3].to_vector());
  CHECK(outputs[2].to_vector() == inputs[4].to_vector());
  const Tensor dy = Tensor::from({1, 2, 2}, Dtype::kF32, {2, 4, 8, 16});
  const Tensors grads = backward("batch_norm", inputs, dy, kEvaluate);
  CHECK(grads[0].to_vector() == std::vector<double>{1, 2, 6, 12});
  CHECK(grads[1].to_vector() == std::vector<double>{4, 16});
  CHECK(grads[2].to_vector() == std::vector<double>{6, 24});
}

TEST_CASE("batch_norm: the front function hands back running statistics and follows the training flag") {
  const Variable x(Tensor::from({2, 1}, Dtype::kF32, {1, 3})), one(row({1})), zero(row({0}));
  const BatchNormResult trained = batch_norm(x, one, zero, zero, one, {.momentum = 0.5, .eps = 0});
  CHECK(trained.y.value().to_vector() == std::vector<double>{-1, 1});
  CHECK(trained.running_mean.at(0) == 1);
  CHECK(trained.running_var.at(0) == 1.5);
  execution().training = false;
  const BatchNormResult evaluated = batch_norm(x, one, zero, zero, one, {.momentum = 0.5, .eps = 0});
  execution().training = true;
  CHECK(evaluated.y.value().to_vector() == std::vector<double>{1, 3});
}

TEST_CASE("layer_norm: normalises each row over the axes of gamma") {
  const Tensor x = sample_tensor({3, 4, 6}, Fill::kReals, 1).to(Dtype::kF64);
  const Tensor gamma = sample_tensor({6}, Fill::kReals, 2).to(Dtype::kF64);
  const Tensor beta = sample_tensor({6}, Fill::kReals, 3).to(Dtype::kF64);
  const Tensor y = forward("layer_norm", {x, gamma, beta}, {{"eps", 0.5}})[0];
  const std::vector<double> values = x.to_vector();
  for (int64_t i = 0; i < y.size(); ++i) {
    const auto begin = values.begin() + i / 6 * 6;
    const Moments m = moments_of({begin, begin + 6});
    const double expected =
        (values[i] - m.mean) / std::sqrt(m.variance + 0.5) * gamma.at(i % 6) + beta.at(i % 6);
    CHECK(y.at(i) == Approx(expected).epsilon(1e-13));
  }
}

TEST_CASE("norms and embedding: shuffled gradients equal the definition and change with the seed") {
  const std::string name = GENERATE(as<std::string>{}, "batch_norm", "layer_norm", "embedding");
  const OpDef& op = Registry<OpDef>::instance().find(name);
  bool seed_matters = false;
  for (const Sample& sample : op.samples(Fill::kReals)) {
    Tensors first_seed;
    for (const uint64_t seed : {1, 2}) {
      const OpCall call{sample.inputs, sample.attributes, {.order = Order::kShuffled, .order_seed = seed}};
      const Tensors outputs = op.forward(call);
      const Tensor dy = sample_tensor(outputs[0].shape(), Fill::kReals, 9);
      std::vector<bool> wanted;
      for (const Tensor& input : call.inputs) wanted.push_back(input.defined() && is_float(input.dtype()));
      const OpGradCall grad{call, outputs, dy, wanted};
      const Tensors got = op.backward(grad), expected = op.backward_reference(grad);
      for (size_t i = 0; i < got.size(); ++i) {
        INFO(name << ", " << sample.name << ", gradient " << i);
        REQUIRE(got[i].defined() == expected[i].defined());
        if (got[i].defined()) CHECK(got[i].to_vector() == expected[i].to_vector());
        if (got[i].defined() && seed == 2) seed_matters |= got[i].to_vector() != first_seed[i].to_vector();
      }
      first_seed = got;
    }
  }
  CHECK(seed_matters);
}

TEST_CASE("norms: bad input is refused with shapes and formats") {
  const auto zeros = [](const Shape& shape, Dtype dtype = Dtype::kF32) {
    return Tensor::zeros(shape, dtype);
  };
  const Tensor c = zeros({2});
  CHECK(refusal("batch_norm", {zeros({4, 3}), c, c, c, c, Tensor()}, kTrain) ==
        "batch_norm: parameters and statistics must be [C]: x [4, 3] f32, [2] f32");
  CHECK(refusal("batch_norm", {zeros({1, 2}), c, c, c, c, Tensor()}, kTrain) ==
        "batch_norm: training needs two elements a channel for a variance: x [1, 2] f32");
  CHECK(refusal("batch_norm", {zeros({4, 2}, Dtype::kF16), c, zeros({2}, Dtype::kF16), c, c, Tensor()},
                kTrain) == "batch_norm: parameters and statistics must be f32 beside x [4, 2] f16: [2] f16");
  CHECK(refusal("layer_norm", {zeros({4, 3}), c, c}, {{"eps", 0.0}}) ==
        "layer_norm: gamma and beta must be the last axes of x [N, .., D..]: x [4, 3] f32, gamma [2] f32, "
        "beta [2] "
        "f32");
}

}  // namespace faultline
