#include "models/zoo/model.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/base/registry.h"
#include "engine/numerics/philox.h"

namespace faultline::models {
namespace {

Variable images(int64_t count) {
  Tensor x = Tensor::empty({count, 1, 28, 28}, Dtype::kF32);
  Draws draws(5, "images");
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = draws.uniform() - 0.5f;
  return Variable(x, false, "x");
}

class Names : public Observer {
 public:
  Names() {
    execution().observer = this;
    begin_step(0);
  }
  ~Names() override { execution().observer = nullptr; }
  void on_op(const OpEvent& event) override { names.push_back(event.name); }
  std::vector<std::string> names;
};

TEST_CASE("lenet: has the parameters of LeNet-5 in the order of its layers") {
  const auto model = make_model("lenet", {}, 1);
  const std::vector<std::pair<std::string, Shape>> expected = {
      {"conv1.weight", {6, 1, 5, 5}},  {"conv1.bias", {6}},
      {"conv2.weight", {16, 6, 5, 5}}, {"conv2.bias", {16}},
      {"fc1.weight", {120, 400}},      {"fc1.bias", {120}},
      {"fc2.weight", {84, 120}},       {"fc2.bias", {84}},
      {"fc3.weight", {10, 84}},        {"fc3.bias", {10}}};
  REQUIRE(model->parameters().size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(model->parameters()[i].name() == expected[i].first);
    CHECK(model->parameters()[i].value().shape() == expected[i].second);
    CHECK(model->parameters()[i].value().dtype() == Dtype::kF32);
    CHECK(model->parameters()[i].requires_grad());
  }
}

TEST_CASE("models: weight and bias are uniform within 1 / sqrt(fan-in), from the parameter's own stream") {
  const auto model = make_model("lenet", {}, 3);
  const int64_t fan_ins[] = {25, 25, 150, 150, 400, 400, 120, 120, 84, 84};
  for (size_t p = 0; p < model->parameters().size(); ++p) {
    const Variable& parameter = model->parameters()[p];
    const uint64_t stream = stream_id("init/" + parameter.name());
    const float bound = static_cast<float>(1 / std::sqrt(static_cast<double>(fan_ins[p])));
    for (int64_t i = 0; i < parameter.value().size(); ++i) {
      const float u = static_cast<float>(Draws::at(3, stream, i) >> 8) * 0x1p-24f;
      const float value = parameter.value().data<float>()[i];
      REQUIRE(value == std::fma(u, 2 * bound, -bound));
      REQUIRE(std::fabs(value) <= bound);
    }
    CHECK(model->draws().at("init/" + parameter.name()) == static_cast<uint64_t>(parameter.value().size()));
  }
}

TEST_CASE("lenet: every op carries the name of its layer, forward and backward") {
  const std::vector<std::string> forward = {"conv1",   "relu1", "pool1", "conv2", "relu2", "pool2",
                                            "flatten", "fc1",   "relu3", "fc2",   "relu4", "fc3"};
  const auto model = make_model("lenet", {}, 1);
  Names names;
  const Variable logits = model->forward(images(2));
  CHECK(names.names == forward);
  names.names.clear();
  logits.backward();
  CHECK(names.names == std::vector<std::string>(forward.rbegin(), forward.rend()));
}

TEST_CASE("models: images give one row of logits each, and every parameter gets its gradient") {
  for (const auto& [name, kind] : Registry<ModelKind>::instance().entries()) {
    const auto model = make_model(name, {}, 1);
    const Variable logits = model->forward(images(3));
    CHECK(logits.value().shape() == Shape{3, 10});
    Tensor seed = Tensor::zeros({3, 10}, Dtype::kF32);
    for (int64_t i = 0; i < 30; ++i) seed.set(i, i % 7 - 3.0);
    logits.backward(seed);
    std::set<std::string> names;
    for (const Variable& parameter : model->parameters()) {
      INFO(name << ", " << parameter.name());
      names.insert(parameter.name());
      REQUIRE(parameter.grad().shape() == parameter.value().shape());
      int64_t nonzero = 0;
      for (const double g : parameter.grad().to_vector()) nonzero += g != 0;
      CHECK(nonzero > 0);
    }
    CHECK(names.size() == model->parameters().size());
  }
}

TEST_CASE("models: an example's logits do not depend on the others of its batch") {
  for (const auto& [name, kind] : Registry<ModelKind>::instance().entries()) {
    const auto model = make_model(name, {}, 1);
    const Variable batch = images(9);
    const std::vector<double> logits = model->forward(batch).value().to_vector();
    for (const int64_t n : {0, 8}) {
      const Variable alone(batch.value().slice(0, n, n + 1).contiguous(), false, "x");
      const std::vector<double> expected(logits.begin() + 10 * n, logits.begin() + 10 * (n + 1));
      CHECK(model->forward(alone).value().to_vector() == expected);
    }
  }
}

TEST_CASE("models: the seed decides the weights, the hidden width is a setting") {
  const auto a = make_model("mlp", {{"hidden", 16}}, 1), b = make_model("mlp", {{"hidden", 16}}, 1);
  const auto other = make_model("mlp", {{"hidden", 16}}, 2);
  CHECK(a->parameters()[0].value().shape() == Shape{16, 784});
  CHECK(a->parameters()[0].value().to_vector() == b->parameters()[0].value().to_vector());
  CHECK(a->parameters()[0].value().to_vector() != other->parameters()[0].value().to_vector());
}

TEST_CASE("models: an unknown model, an unknown setting and a width below 1 give one line") {
  CHECK_THROWS_WITH(make_model("lent", {}, 1), Catch::Contains("did you mean 'lenet'?"));
  CHECK_THROWS_WITH(make_model("mlp", {{"hiden", 5}}, 1),
                    Catch::StartsWith("model: unknown setting 'hiden' (known: "));
  CHECK_THROWS_WITH(make_model("mlp", {{"hidden", 0}}, 1), "mlp: hidden = 0 must be at least 1");
  CHECK_NOTHROW(make_model("lenet", {{"hidden", 5}}, 1));  // another model's setting
}

}  // namespace
}  // namespace faultline::models
