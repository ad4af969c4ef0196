#include "engine/autograd/variable.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/ops/add.h"
#include "engine/ops/cast.h"
#include "engine/ops/exp.h"
#include "engine/ops/mul.h"
#include "engine/ops/relu.h"
#include "engine/ops/sum.h"

namespace faultline {
namespace {

Variable parameter(Dtype dtype, const std::vector<double>& values, const std::string& name = "x") {
  return Variable(Tensor::from({static_cast<int64_t>(values.size())}, dtype, values), true, name);
}

Variable constant(Dtype dtype, const std::vector<double>& values) {
  return Variable(Tensor::from({static_cast<int64_t>(values.size())}, dtype, values));
}

// Writes down what it sees: "forward relu", "backward relu", ...
class Diary : public Observer {
 public:
  Diary() {
    begin_step(0);
    execution().observer = this;
  }
  ~Diary() override { execution().observer = nullptr; }

  void on_op(const OpEvent& event) override {
    lines.push_back(std::string(faultline::name(event.phase)) + " " + event.name);
    if (event.grad_call) wanted.push_back(event.grad_call->wanted);
  }

  std::vector<std::string> lines;
  std::vector<std::vector<bool>> wanted;
};

// L = w[0] x + w[1] x + w[2] x, used in this order; returns dL/dx.
double fan_in(Dtype dtype, const std::vector<double>& w) {
  const Variable x = parameter(dtype, {1});
  Variable sum = mul(x, constant(dtype, {w[0]}));
  for (size_t i = 1; i < w.size(); ++i) sum = add(sum, mul(x, constant(dtype, {w[i]})));
  sum.backward();
  return x.grad().at(0);
}

}  // namespace

TEST_CASE("tape: gradients that meet are added in the reverse order of forward use") {
  // ((1 - 1e8) + 1e8) is 0 in f32; every other order gives 1.
  CHECK(fan_in(Dtype::kF32, {1e8, -1e8, 1}) == 0);
  CHECK(fan_in(Dtype::kF32, {1, -1e8, 1e8}) == 1);
}

TEST_CASE("tape: gradients that meet are added in f32 and rounded once to the gradient's format") {
  // In f16, 2048 + 1 is 2048 again.
  CHECK(fan_in(Dtype::kF16, {1, 1, 2048}) == 2050);
  CHECK(fan_in(Dtype::kBf16, {1, 1, 256}) == 258);
}

TEST_CASE("tape: a variable that meets itself in one op gets both gradients") {
  const Variable x = parameter(Dtype::kF32, {3, -2});
  mul(x, x).backward();
  CHECK(x.grad().to_vector() == std::vector<double>{6, -4});
}

TEST_CASE("tape: both arms of a diamond reach the top before it passes its gradient on") {
  Diary diary;
  const Variable x = parameter(Dtype::kF32, {2});
  const Variable top = mul(x, constant(Dtype::kF32, {3}));                  // 6
  const Variable y = mul(relu(top), add(top, constant(Dtype::kF32, {1})));  // t (t + 1)
  y.backward();
  CHECK(x.grad().at(0) == 3 * (2 * 6 + 1));
  CHECK(std::count(diary.lines.begin(), diary.lines.end(), "backward mul") == 1);
}

TEST_CASE("tape: inputs without requires_grad get no gradient and are not asked for one") {
  Diary diary;
  const Variable x = parameter(Dtype::kF32, {2});
  const Variable c = constant(Dtype::kF32, {5});
  mul(c, x).backward();
  CHECK(x.grad().at(0) == 5);
  CHECK_FALSE(c.grad().defined());
  CHECK(diary.wanted == std::vector<std::vector<bool>>{{false, true}});
}

TEST_CASE("tape: an op on constants leaves nothing on the tape") {
  Diary diary;
  const Variable y = relu(constant(Dtype::kF32, {1}));
  CHECK_FALSE(y.requires_grad());
  y.backward();
  CHECK(diary.lines == std::vector<std::string>{"forward relu"});
}

TEST_CASE("tape: a seed replaces the ones, and must have the shape and format of the value") {
  const Variable x = parameter(Dtype::kF32, {1, 2});
  relu(x).backward(Tensor::from({2}, Dtype::kF32, {10, 20}));
  CHECK(x.grad().to_vector() == std::vector<double>{10, 20});
  CHECK_THROWS_WITH(relu(x).backward(Tensor::zeros({3}, Dtype::kF32)),
                    Catch::Contains("seed [3] f32 for [2] f32"));
  CHECK_THROWS_AS(relu(x).backward(Tensor::zeros({2}, Dtype::kF16)), Error);
}

TEST_CASE("tape: a new backward replaces the gradients of the last one") {
  const Variable x = parameter(Dtype::kF32, {1});
  for (int i = 0; i < 2; ++i) {
    add(x, x).backward();
    CHECK(x.grad().at(0) == 2);
  }
}

TEST_CASE("tape: the observer sees every op once, forward in order and backward in reverse") {
  Diary diary;
  const Variable x = parameter(Dtype::kF32, {1, 2}, "w");
  const Variable a = exp(x), b = relu(x);
  sum(mul(a, b)).backward();
  CHECK(diary.lines == std::vector<std::string>{"forward exp", "forward relu", "forward mul", "forward sum",
                                                "backward sum", "backward mul", "backward relu",
                                                "backward exp", "backward w/accumulate"});
}

TEST_CASE("tape: a scope names its ops, and a name is numbered from its second use in a step") {
  Diary diary;
  const Variable x = constant(Dtype::kF32, {1});
  relu(x);
  relu(x);
  {
    const Scope block("block");
    const Scope layer("relu1");
    relu(x);
  }
  begin_step(1);
  relu(x);
  CHECK(diary.lines ==
        std::vector<std::string>{"forward relu", "forward relu#2", "forward block/relu1", "forward relu"});
}

TEST_CASE("tape: operands that meet in two formats are cast to the wider one, their gradients back") {
  Diary diary;
  const Variable a = parameter(Dtype::kF16, {1.5}), b = parameter(Dtype::kBf16, {2.5});
  const Variable y = mul(a, b);
  CHECK(y.value().describe() == "[1] f32");
  y.backward();
  CHECK(a.grad().describe() == "[1] f16");
  CHECK(b.grad().describe() == "[1] bf16");
  CHECK(a.grad().at(0) == 2.5);
  CHECK(std::vector<std::string>(diary.lines.begin(), diary.lines.begin() + 3) ==
        std::vector<std::string>{"forward cast_lhs", "forward cast_rhs", "forward mul"});
}

TEST_CASE("tape: an input in f64 takes the whole op to the f64 reference") {
  const Variable x = parameter(Dtype::kF64, {0.5});
  const Variable y = exp(x);
  y.backward();
  CHECK(y.value().dtype() == Dtype::kF64);
  CHECK(x.grad().at(0) == Approx(1.6487212707001282).epsilon(1e-15));
}

}  // namespace faultline
