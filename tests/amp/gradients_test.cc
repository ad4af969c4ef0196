#include "amp/gradients.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"

namespace faultline::amp {
namespace {

Variable parameter(const std::string& name, const Shape& shape, Dtype dtype = Dtype::kF32) {
  Variable variable(Tensor::zeros(shape, Dtype::kF32), true, name);
  variable.set_grad(Tensor::full(shape, dtype, 0.5));
  return variable;
}

void plant(Variable& variable, int64_t element, double value) {
  Tensor grad = variable.grad().clone();
  grad.set(element, value);
  variable.set_grad(grad);
}

TEST_CASE("scan: finite gradients, the largest and the smallest included, are no overflow") {
  std::vector<Variable> parameters = {parameter("a", {3, 5}),
                                      Variable(Tensor::zeros({2}, Dtype::kF32), true, "b")};
  plant(parameters[0], 0, 3.4028234663852886e38);
  plant(parameters[0], 1, -0x1p-149);
  const Verdict verdict = scan(parameters);
  CHECK_FALSE(verdict.overflow);
  CHECK(verdict.parameter.empty());
  CHECK(verdict.element == -1);
}

TEST_CASE("scan: names the first parameter in order and its first element in row-major order") {
  std::vector<Variable> parameters = {parameter("a", {7}), parameter("b", {100, 91}), parameter("c", {2})};
  for (const double value : {double(INFINITY), -double(INFINITY), double(NAN)}) {
    for (const int64_t element : {0, 1, 4095, 4096, 9098, 9099}) {
      std::vector<Variable> planted = {parameter("a", {7}), parameter("b", {100, 91}), parameter("c", {2})};
      plant(planted[2], 0, INFINITY);
      plant(planted[1], 9099, INFINITY);
      plant(planted[1], element, value);
      const Verdict verdict = scan(planted);
      CHECK(verdict.overflow);
      CHECK(verdict.parameter == "b");
      CHECK(verdict.element == element);
      CHECK((std::isnan(value) ? std::isnan(verdict.value) : verdict.value == value));
    }
  }
}

TEST_CASE("scan: reads views in their logical order, and 16-bit gradients") {
  Variable variable = parameter("a", {3, 4});
  plant(variable, 1, NAN);  // row 0, column 1
  variable.set_grad(variable.grad().transpose(0, 1));
  CHECK(scan({variable}).element == 3);
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16}) {
    Variable narrow = parameter("a", {5}, dtype);
    CHECK_FALSE(scan({narrow}).overflow);
    plant(narrow, 4, INFINITY);
    CHECK(scan({narrow}).element == 4);
  }
}

TEST_CASE("scale_loss: one f32 multiplication, and the gradient is the scale") {
  const Variable loss(Tensor::full({}, Dtype::kF32, 0.1), true, "loss");
  const Variable scaled = scale_loss(loss, 3);
  CHECK(scaled.value().at(0) == static_cast<double>(0.1f * 3.0f));
  scaled.backward();
  CHECK(loss.grad().at(0) == 3);
  CHECK(scale_loss(loss, 1).state() == loss.state());
}

TEST_CASE("scale_loss: a loss that is not f32 is refused") {
  CHECK_THROWS_WITH(scale_loss(Variable(Tensor::full({}, Dtype::kF16, 1)), 65536),
                    "scale_loss: the loss must be f32, got [] f16");
}

class Names : public Observer {
 public:
  void on_op(const OpEvent& event) override { names.push_back(event.name); }
  std::vector<std::string> names;
};

TEST_CASE("unscale: one multiplication by the rounded inverse, seen by the observer") {
  std::vector<Variable> parameters = {parameter("a", {3}), parameter("b", {2})};
  Names names;
  execution().observer = &names;
  unscale(parameters, 3);
  execution().observer = nullptr;
  CHECK(names.names == std::vector<std::string>{"a/unscale", "b/unscale"});
  CHECK(parameters[1].grad().at(1) == static_cast<double>(0.5f * static_cast<float>(1.0 / 3.0)));
}

TEST_CASE("unscale: a scale of 1 touches nothing") {
  Variable variable = parameter("a", {3});
  const void* before = variable.grad().raw();
  unscale({variable}, 1);
  CHECK(variable.grad().raw() == before);
}

TEST_CASE("unscale: undoes any power of two exactly") {
  for (const double scale : {0x1p-20, 128.0, 65536.0, 0x1p40}) {
    Variable variable = parameter("a", {3});
    plant(variable, 1, 1.0 / 3.0);
    const std::vector<double> before = variable.grad().to_vector();
    Tensor scaled = variable.grad().clone();
    for (int64_t i = 0; i < 3; ++i) scaled.set(i, scaled.at(i) * scale);
    variable.set_grad(scaled);
    unscale({variable}, scale);
    CHECK(variable.grad().to_vector() == before);
  }
}

}  // namespace
}  // namespace faultline::amp
