#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "engine/mma/unit.h"
#include "engine/ops/samples.h"
#include "tests/engine/ops/op_call.h"

namespace faultline {
namespace {

const std::vector<std::string> kProducts = {"matmul", "linear", "conv2d"};

Tensor integers(const Shape& shape, int salt) { return sample_tensor(shape, Fill::kIntegers, salt); }

Attributes conv_attributes(const std::vector<int64_t>& stride, const std::vector<int64_t>& padding) {
  return {{"stride", stride}, {"padding", padding}};
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.describe() != b.describe()) return false;
  for (int64_t i = 0; a.defined() && i < a.size(); ++i) {
    const double left = a.at(i), right = b.at(i);
    if (std::isnan(left) && std::isnan(right)) continue;
    if (left != right || std::signbit(left) != std::signbit(right)) return false;
  }
  return true;
}

// A convolution by its textbook formula: y, and the gradients that scattering every term gives.
struct NaiveConv2d {
  NaiveConv2d(const Tensor& x, const Tensor& w, const Tensor& dy, int64_t stride, int64_t padding)
      : y(dy.size()), dx(x.size()), dw(w.size()), db(w.dim(0)) {
    for (int64_t i = 0; i < dy.size(); ++i) {
      const std::vector<int64_t> at = dy.unravel(i);  // n, o, oy, ox
      db[at[1]] += dy.at(i);
      for (int64_t k = 0; k < w.size() / w.dim(0); ++k) {
        const int64_t tap = at[1] * (w.size() / w.dim(0)) + k;
        const std::vector<int64_t> of = w.unravel(tap);  // o, c, kh, kw
        const int64_t h = at[2] * stride - padding + of[2], v = at[3] * stride - padding + of[3];
        if (h < 0 || v < 0 || h >= x.dim(2) || v >= x.dim(3)) continue;
        const int64_t j = ((at[0] * x.dim(1) + of[1]) * x.dim(2) + h) * x.dim(3) + v;
        y[i] += x.at(j) * w.at(tap);
        dx[j] += dy.at(i) * w.at(tap);
        dw[tap] += dy.at(i) * x.at(j);
      }
    }
  }
  std::vector<double> y, dx, dw, db;
};

// Every setting that the units which exist can take, with operands of format `dtype`.
std::vector<Arithmetic> arithmetics(Dtype dtype) {
  std::vector<Arithmetic> all;
  for (const auto& [name, unit] : Registry<Unit>::instance().entries()) {
    for (const auto& [input, accumulate] : unit.formats) {
      const bool tf32 = input == Dtype::kTf32;
      if (input != dtype && !(tf32 && dtype == Dtype::kF32)) continue;
      Arithmetic plain{.unit = name, .tf32 = tf32, .accumulate = accumulate};
      all.push_back(plain);
      if (name != kFmaUnit) {
        plain.k_plan = KPlanRule::kLeaf;
        all.push_back(plain);
      }
      plain.split_k = 3;
      all.push_back(plain);
      plain.split_reduce_in_output = true;
      all.push_back(plain);
      plain.order = Order::kShuffled;
      all.push_back(plain);
    }
  }
  return all;
}

std::string describe(const Arithmetic& a) {
  return a.unit + (a.tf32 ? " tf32" : "") + " accumulate " + name(a.accumulate) +
         (a.k_plan == KPlanRule::kLeaf ? " leaf" : "") + " split_k " + std::to_string(a.split_k) +
         (a.split_reduce_in_output ? " in output" : "") + (a.order == Order::kShuffled ? " shuffled" : "");
}

void require_reference_bits(const OpDef& op, const OpCall& call) {
  INFO(op.name << " " << call.inputs[0].describe() << " " << describe(call.arithmetic));
  const Tensors outputs = op.forward_reference(call);
  CHECK(same_bits(op.forward(call)[0], outputs[0]));
  const Tensor dy = sample_tensor(outputs[0].shape(), Fill::kReals, 77).to(outputs[0].dtype());
  std::vector<bool> wanted;
  for (const Tensor& input : call.inputs) wanted.push_back(input.defined());
  const OpGradCall grad{call, outputs, dy, wanted};
  const Tensors got = op.backward(grad), expected = op.backward_reference(grad);
  for (size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
}

}  // namespace

TEST_CASE("conv2d: equals the textbook formula on small integers, forward and backward") {
  const int64_t stride = GENERATE(1, 2, 3), padding = GENERATE(0, 1, 2);
  const Tensor x = integers({9, 2, 7, 8}, 1), w = integers({3, 2, 3, 2}, 2), b = integers({3}, 3);
  const Attributes attributes = conv_attributes({stride, stride}, {padding, padding});
  const Tensor y = forward("conv2d", {x, w, b}, attributes)[0];
  const Tensor dy = integers(y.shape(), 4);
  const NaiveConv2d naive(x, w, dy, stride, padding);
  for (int64_t i = 0; i < y.size(); ++i) CHECK(y.at(i) == naive.y[i] + b.at(y.unravel(i)[1]));
  const Tensors grads = backward("conv2d", {x, w, b}, dy, attributes);
  CHECK(grads[0].to_vector() == naive.dx);
  CHECK(grads[1].to_vector() == naive.dw);
  CHECK(grads[2].to_vector() == naive.db);
}

TEST_CASE("linear: equals a 1 x 1 convolution in every bit") {
  const Tensor x = sample_tensor({11, 30}, Fill::kReals, 1), w = sample_tensor({7, 30}, Fill::kReals, 2);
  const Tensor b = sample_tensor({7}, Fill::kReals, 3), dy = sample_tensor({11, 7}, Fill::kReals, 4);
  const Tensors image = {x.reshape({11, 30, 1, 1}), w.reshape({7, 30, 1, 1}), b};
  const Attributes attributes = conv_attributes({1, 1}, {0, 0});
  CHECK(forward("linear", {x, w, b})[0].to_vector() == forward("conv2d", image, attributes)[0].to_vector());
  const Tensors a = backward("linear", {x, w, b}, dy);
  const Tensors c = backward("conv2d", image, dy.reshape({11, 7, 1, 1}), attributes);
  for (int i = 0; i < 3; ++i) CHECK(a[i].to_vector() == c[i].to_vector());
}

TEST_CASE("linear and matmul: equal sums of products on small integers") {
  const Tensor x = integers({9, 3, 5}, 1), w = integers({4, 5}, 2), b = integers({4}, 3);
  const Tensor y = forward("linear", {x, w, b})[0], dy = integers(y.shape(), 4);
  const Tensors grads = backward("linear", {x, w, b}, dy);
  for (int64_t i = 0; i < y.size(); ++i) {
    double sum = b.at(i % 4);
    for (int64_t k = 0; k < 5; ++k) sum += x.at(i / 4 * 5 + k) * w.at(i % 4 * 5 + k);
    CHECK(y.at(i) == sum);
  }
  for (int64_t i = 0; i < 20; ++i) {
    double sum = 0;
    for (int64_t row = 0; row < 27; ++row) sum += dy.at(row * 4 + i / 5) * x.at(row * 5 + i % 5);
    CHECK(grads[1].at(i) == sum);
  }
  const Tensor rhs = w.transpose(0, 1);
  const Tensors matmul_grads = backward("matmul", {x, rhs}, dy);
  CHECK(matmul_grads[0].to_vector() == grads[0].to_vector());
  CHECK(matmul_grads[1].to_vector() == grads[1].transpose(0, 1).to_vector());
}

TEST_CASE("matmul: each matrix of a batch is a product of its own") {
  const Tensor lhs = sample_tensor({3, 4, 6}, Fill::kReals, 1),
               rhs = sample_tensor({3, 6, 5}, Fill::kReals, 2);
  const Tensor y = forward("matmul", {lhs, rhs})[0];
  REQUIRE(y.shape() == Shape{3, 4, 5});
  for (int64_t i = 0; i < 3; ++i) {
    const Tensor one = forward(
        "matmul", {lhs.slice(0, i, i + 1).reshape({4, 6}), rhs.slice(0, i, i + 1).reshape({6, 5})})[0];
    CHECK(y.slice(0, i, i + 1).to_vector() == one.to_vector());
  }
}

TEST_CASE("products: kernels equal the definition in every bit under every unit and setting") {
  const std::string name = GENERATE(from_range(kProducts));
  const Dtype dtype = GENERATE(Dtype::kF32, Dtype::kF16, Dtype::kBf16);
  const OpDef& op = Registry<OpDef>::instance().find(name);
  for (const Sample& sample : op.samples(Fill::kReals)) {
    if (sample.name == "large") continue;
    OpCall call{{}, sample.attributes, {}};
    for (const Tensor& input : sample.inputs) {
      call.inputs.push_back(input.defined() ? input.to(dtype) : Tensor());
    }
    for (const Arithmetic& arithmetic : arithmetics(dtype)) {
      call.arithmetic = arithmetic;
      call.arithmetic.order_seed = 5;
      require_reference_bits(op, call);
    }
  }
}

TEST_CASE("products: gradients of two leaves are the sums of each leaf's, in every bit") {
  const Tensor x = sample_tensor({16, 3, 4, 5}, Fill::kReals, 1),
               w = sample_tensor({2, 3, 2, 2}, Fill::kReals, 2);
  const Tensor b = sample_tensor({2}, Fill::kReals, 3), dy = sample_tensor({16, 2, 3, 4}, Fill::kReals, 4);
  const Attributes attributes = conv_attributes({1, 1}, {0, 0});
  const Tensors whole = backward("conv2d", {x, w, b}, dy, attributes);
  const Tensors first = backward("conv2d", {x.slice(0, 0, 8), w, b}, dy.slice(0, 0, 8), attributes);
  const Tensors second = backward("conv2d", {x.slice(0, 8, 16), w, b}, dy.slice(0, 8, 16), attributes);
  for (const int input : {1, 2}) {
    for (int64_t i = 0; i < whole[input].size(); ++i) {
      const auto at = [&](const Tensors& grads) { return static_cast<float>(grads[input].at(i)); };
      CHECK(at(whole) == at(first) + at(second));
    }
  }
}

TEST_CASE("products: a shuffled order changes gradient sums with the seed, and nothing else") {
  const Tensor x = sample_tensor({3000, 4}, Fill::kReals, 1), w = sample_tensor({5, 4}, Fill::kReals, 2);
  const Tensor b = sample_tensor({5}, Fill::kReals, 3), dy = sample_tensor({3000, 5}, Fill::kReals, 4);
  const auto shuffled = [](uint64_t seed) {
    return Arithmetic{.order = Order::kShuffled, .order_seed = seed};
  };
  const Tensors ordered = backward("linear", {x, w, b}, dy);
  const Tensors one = backward("linear", {x, w, b}, dy, {}, shuffled(1));
  const Tensors again = backward("linear", {x, w, b}, dy, {}, shuffled(1));
  const Tensors two = backward("linear", {x, w, b}, dy, {}, shuffled(2));
  CHECK(same_bits(one[0], ordered[0]));
  for (const int input : {1, 2}) {
    CHECK(same_bits(one[input], again[input]));
    CHECK_FALSE(same_bits(one[input], two[input]));
    CHECK_FALSE(same_bits(one[input], ordered[input]));
  }
  CHECK(same_bits(forward("linear", {x, w, b}, {}, shuffled(1))[0], forward("linear", {x, w, b})[0]));
}

TEST_CASE("products: accumulating in f16 rounds every step") {
  const Tensor x = Tensor::from({1, 3}, Dtype::kF16, {2048, 1, 1});
  const Tensor ones = Tensor::full({1, 3}, Dtype::kF16, 1);
  CHECK(forward("linear", {x, ones, {}})[0].at(0) == 2050);
  CHECK(forward("linear", {x, ones, {}}, {}, {.accumulate = Dtype::kF16})[0].at(0) == 2048);
}

TEST_CASE("products: tf32 rounds f32 operands as asked") {
  const Tensor x = Tensor::from({1, 1}, Dtype::kF32, {1 + 0x1p-11}),
               one = Tensor::full({1, 1}, Dtype::kF32, 1);
  const auto with = [&](Tf32Rounding rounding) {
    return forward("matmul", {x, one}, {}, {.tf32 = true, .tf32_rounding = rounding})[0].at(0);
  };
  CHECK(forward("matmul", {x, one})[0].at(0) == 1 + 0x1p-11);
  CHECK(with(Tf32Rounding::kRna) == 1 + 0x1p-10);
  CHECK(with(Tf32Rounding::kRne) == 1);
  CHECK(with(Tf32Rounding::kTruncate) == 1);
}

TEST_CASE("products: parts of split_k in the output format overflow where the sum would fit") {
  const Tensor x = Tensor::full({1, 16}, Dtype::kF16, 128),
               w = Tensor::from({1, 16}, Dtype::kF16, [] {
                 std::vector<double> values(16, 128);
                 std::fill(values.begin() + 8, values.end(), -128);
                 return values;
               }());
  CHECK(forward("linear", {x, w, {}}, {}, {.split_k = 2})[0].at(0) == 0);
  CHECK(
      std::isnan(forward("linear", {x, w, {}}, {}, {.split_k = 2, .split_reduce_in_output = true})[0].at(0)));
}

TEST_CASE("products: a bias is added in f32 and rounded with the sum, once") {
  // 2048 + 1 + 1: rounding the sum first would lose both ones.
  const Tensor x = Tensor::from({1, 2}, Dtype::kF16, {2048, 1}), w = Tensor::full({1, 2}, Dtype::kF16, 1);
  CHECK(forward("linear", {x, w, Tensor::full({1}, Dtype::kF16, 1)})[0].at(0) == 2050);
}

TEST_CASE("products: bad input is refused with shapes, formats and what exists") {
  const auto zeros = [](const Shape& shape, Dtype dtype = Dtype::kF32) {
    return Tensor::zeros(shape, dtype);
  };
  CHECK(refusal("matmul", {zeros({2, 3}, Dtype::kF16), zeros({4, 5}, Dtype::kF16)}) ==
        "matmul: inner sizes differ: lhs [2, 3] f16, rhs [4, 5] f16");
  CHECK(refusal("matmul", {zeros({2, 2, 3}), zeros({3, 3, 5})}) ==
        "matmul: leading sizes differ: lhs [2, 2, 3] f32, rhs [3, 3, 5] f32");
  CHECK(refusal("matmul", {zeros({3}), zeros({3, 5})}) ==
        "matmul: operands must have at least two axes: lhs [3] f32, rhs [3, 5] f32");
  CHECK(refusal("linear", {zeros({2, 3}), zeros({5, 4}), {}}) ==
        "linear: x must be [N, .., in] and w [out, in]: x [2, 3] f32, w [5, 4] f32");
  CHECK(refusal("linear", {zeros({2, 3}), zeros({5, 3}), zeros({4})}) ==
        "linear: b must be [out]: w [5, 3] f32, b [4] f32");
  CHECK(refusal("linear", {zeros({2, 3}), zeros({5, 3}, Dtype::kF16), {}}) ==
        "linear: inputs must be floats of one format: [2, 3] f32, [5, 3] f16");
  CHECK(refusal("conv2d", {zeros({1, 2, 4, 4}), zeros({3, 1, 2, 2}), {}}, conv_attributes({1, 1}, {0, 0})) ==
        "conv2d: x must be [N, C, H, W] and w [O, C, KH, KW]: x [1, 2, 4, 4] f32, w [3, 1, 2, 2] f32");
  CHECK(refusal("conv2d", {zeros({1, 1, 4, 4}), zeros({3, 1, 5, 2}), {}}, conv_attributes({1, 1}, {0, 0})) ==
        "conv2d: kernel of w [3, 1, 5, 2] f32 does not fit into x [1, 1, 4, 4] f32 with padding [0, 0]");
  CHECK(refusal("conv2d", {zeros({1, 1, 4, 4}), zeros({3, 1, 2, 2}), {}}, conv_attributes({1, 0}, {0, 0})) ==
        "conv2d: stride must be two sizes of at least 1, not [1, 0]");
  const std::string unknown = refusal("linear", {zeros({2, 3}), zeros({5, 3}), {}}, {}, {.unit = "h1000"});
  CHECK(unknown.find("unknown unit 'h1000'") != std::string::npos);
  CHECK(unknown.find("eigen, fma") != std::string::npos);
  const std::string accumulate =
      refusal("linear", {zeros({2, 3}), zeros({5, 3}), {}}, {}, {.accumulate = Dtype::kF16});
  CHECK(accumulate.find("linear: unit fma has no product f32 -> f16 (it has f16 -> f32, ") == 0);
}

}  // namespace faultline
