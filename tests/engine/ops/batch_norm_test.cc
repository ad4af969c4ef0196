// batch_norm with what follows it in one pass, beside the ops one after the other.
#include "engine/ops/batch_norm.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <optional>

#include "engine/autograd/execution.h"
#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/ops/add.h"
#include "engine/ops/relu.h"
#include "engine/ops/samples.h"
#include "engine/tensor/digest.h"
#include "tests/engine/ops/op_call.h"

namespace faultline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Case {
  Shape shape;
  Dtype x;
  std::optional<Dtype> residual;
  bool relu;

  std::string describe() const {
    return "x " + to_string(shape) + " " + name(x) + ", residual " + (residual ? name(*residual) : "none") +
           (relu ? ", relu" : "");
  }
};

// Random reals among which stand values that a changed order of roundings and comparisons would show.
Tensor special_tensor(const Shape& shape, Dtype dtype, int salt) {
  const double specials[] = {-0.0, kInfinity, 0, std::nan(""), -kInfinity, 0x1p-24, -0x1p-133};
  Tensor tensor = sample_tensor(shape, Fill::kReals, salt).clone();
  for (int64_t i = 0; i < tensor.size(); i += 11) tensor.set(i, specials[i / 11 % std::size(specials)]);
  return tensor.to(dtype);
}

// Leaves of one case. x is the same all over channel 0, where the normalised value is -0, and over channel 1, where in f16
// it rounds to zero; an infinity makes channel 2 NaN.
struct Inputs {
  explicit Inputs(const Case& c) {
    const int64_t channels = c.shape[1], positions = element_count(c.shape) / c.shape[0] / channels;
    Tensor values = sample_tensor(c.shape, Fill::kReals, 1).clone();
    for (int64_t i = 0; i < values.size(); ++i) {
      if (i / positions % channels < 2) values.set(i, 1);
    }
    values.set(2 * positions, kInfinity);
    Tensor scale = sample_tensor({channels}, Fill::kReals, 2).clone(),
           shift = sample_tensor({channels}, Fill::kReals, 3).clone();
    scale.set(0, -1);
    shift.set(0, -0.0);
    shift.set(1, 0x1p-26);
    x = Variable(values.to(c.x), true, "x");
    gamma = Variable(scale, true, "gamma");
    beta = Variable(shift, true, "beta");
    mean = Variable(sample_tensor({channels}, Fill::kReals, 4));
    var = Variable(positive_sample_tensor({channels}, Fill::kReals, 5));
    if (c.residual) residual = Variable(special_tensor(c.shape, *c.residual, 6), true, "residual");
  }

  Variable x, gamma, beta, mean, var, residual;
};

// The result, what batch norm hands back and every gradient, each as its digest.
std::vector<Digest> results(const Inputs& in, const BatchNormResult& norm, const Variable& y) {
  y.backward(special_tensor(y.value().shape(), y.value().dtype(), 7));
  std::vector<Digest> results;
  for (const Tensor& tensor : {y.value(), norm.running_mean, norm.running_var, in.x.grad(), in.gamma.grad(),
                               in.beta.grad(), in.residual.defined() ? in.residual.grad() : y.value()}) {
    results.push_back(digest(tensor));
  }
  return results;
}

std::vector<Digest> one_after_the_other(const Case& c) {
  const Inputs in(c);
  const BatchNormResult norm = batch_norm(in.x, in.gamma, in.beta, in.mean, in.var);
  Variable y = in.residual.defined() ? add(norm.y, in.residual) : norm.y;
  if (c.relu) y = relu(y);
  return results(in, norm, y);
}

std::vector<Digest> in_one(const Case& c) {
  const Inputs in(c);
  const BatchNormResult norm =
      batch_norm(in.x, in.gamma, in.beta, in.mean, in.var, {.residual = in.residual, .relu = c.relu});
  return results(in, norm, norm.y);
}

void check_everywhere(const Case& c) {
  INFO(c.describe());
  const std::vector<Digest> expected = one_after_the_other(c);
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (const int count : {1, 2, 3, 8}) {
      set_threads(count);
      INFO(set << ", " << count << " threads");
      CHECK(in_one(c) == expected);
    }
  }
  set_instruction_set("");
  set_threads(1);
}

}  // namespace

TEST_CASE("batch_norm: what it adds and relu have the bits of the ops after it, in every format") {
  const Shape shape = GENERATE(Shape{13, 5}, Shape{9, 3, 67}, Shape{3, 4, 8, 8});
  for (const Dtype x : {Dtype::kF32, Dtype::kF16, Dtype::kBf16}) {
    for (const bool relu : {false, true}) {
      check_everywhere({shape, x, {}, relu});
      for (const Dtype residual : {Dtype::kF32, Dtype::kF16, Dtype::kBf16})
        check_everywhere({shape, x, residual, relu});
    }
  }
}

TEST_CASE("batch_norm: a large result, which goes past the caches, has the same bits") {
  const Shape large = {9, 8, 128, 128};
  check_everywhere({large, Dtype::kF32, Dtype::kF32, true});
  check_everywhere({large, Dtype::kBf16, Dtype::kF32, true});
  check_everywhere({{9, 8, 127, 129}, Dtype::kF32, {}, true});
}

TEST_CASE("batch_norm: in evaluation too, what it adds and relu have the bits of the ops after it") {
  execution().training = false;
  check_everywhere({{9, 3, 67}, Dtype::kF32, Dtype::kF32, true});
  check_everywhere({{9, 3, 67}, Dtype::kBf16, Dtype::kF16, true});
  execution().training = true;
}

TEST_CASE("batch_norm: gradients that nobody wants are not made") {
  const Case c = {{3, 4, 8, 8}, Dtype::kF32, Dtype::kF32, true};
  const Inputs in(c);
  const Variable x(in.x.value()), gamma(in.gamma.value()), beta(in.beta.value());
  const Variable y = batch_norm(x, gamma, beta, in.mean, in.var, {.residual = in.residual, .relu = true}).y;
  const Tensor dy = special_tensor(c.shape, c.x, 7);
  y.backward(dy);
  const Variable alone(y.value(), true, "y");
  relu(alone).backward(dy);
  CHECK(digest(in.residual.grad()) == digest(alone.grad()));
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("batch_norm: a residual that does not fit is refused with shapes and formats") {
  const Attributes attributes = {
      {"momentum", 0.1}, {"eps", 0.0}, {"relu", int64_t{0}}, {"training", int64_t{1}}};
  const auto refused = [&](const Shape& shape, Dtype dtype) {
    const Tensor x = Tensor::zeros({4, 2, 3}, Dtype::kF32), c = Tensor::zeros({2}, Dtype::kF32);
    return refusal("batch_norm", {x, c, c, c, c, Tensor::zeros(shape, dtype)}, attributes);
  };
  CHECK(refused({4, 2, 1}, Dtype::kF32) ==
        "batch_norm: the residual must have the shape of x: x [4, 2, 3] f32, residual [4, 2, 1] f32");
  CHECK(refused({4, 2, 3}, Dtype::kF64) ==
        "batch_norm: the residual must be a float, f64 where x is: x [4, 2, 3] f32, residual [4, 2, 3] f64");
  CHECK(refused({4, 2, 3}, Dtype::kI32) ==
        "batch_norm: the residual must be a float, f64 where x is: x [4, 2, 3] f32, residual [4, 2, 3] i32");
}

}  // namespace faultline
