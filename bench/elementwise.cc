// Ops that move more than they compute, in bytes that must be read and written, beside a copy of as many bytes and
// beside Eigen and oneDNN where they have the op. Run: bazel run //bench:elementwise
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "bench/check.h"
#include "bench/peers/peer.h"
#include "bench/suite.h"
#include "engine/base/parallel.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/cast.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/gelu.h"
#include "engine/ops/layer_norm.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/relu.h"
#include "engine/ops/softmax.h"
#include "engine/optim/optimizer.h"

namespace faultline::bench {
namespace {

// Activations of a convolution: 64 MiB, more than the caches.
constexpr int64_t kN = 256, kC = 64, kH = 32, kW = 32, kSize = kN * kC * kH * kW;

Tensor filled(const Shape& shape, uint32_t seed) {
  Tensor tensor = Tensor::empty(shape, Dtype::kF32);
  const Floats values = uniform(tensor.size(), seed);
  std::memcpy(tensor.mutable_raw(), values.data(), tensor.size_bytes());
  return tensor;
}

Floats widened(const Tensor& tensor) {
  const Tensor f32 = tensor.to(Dtype::kF32).contiguous();
  return {f32.data<float>(), f32.data<float>() + f32.size()};
}

Contender copy() {
  const auto from = std::make_shared<std::vector<char>>(kSize * 4, 1),
             to = std::make_shared<std::vector<char>>(*from);
  return {"copy",
          [=] {
            parallel_for("copy", static_cast<int64_t>(to->size()), 1 << 16, [&](int64_t begin, int64_t end) {
              std::memcpy(to->data() + begin, from->data() + begin, end - begin);
            });
          },
          {},
          2e-9 * 4 * kSize};
}

// An op of ours, the same for the peers, and the roundings of one element by which the two may differ.
struct Op {
  Elementwise call;
  double bytes;
  std::function<Tensor()> ours;
  int64_t roundings;
};

void compare(Suite& suite, const Op& op, int threads) {
  const std::string& name = op.call.op;
  if (!suite.wants(name, threads)) return;
  set_threads(threads);
  Comparison comparison{name, threads, 1e-9 * op.bytes, {{"ours", [&] { op.ours(); }}}, copy()};
  const Tensor ours = op.ours();
  std::vector<Tensor> outputs;
  for (const auto& [peer, library] : Registry<Peer>::instance().entries()) {
    if (!library.elementwise) continue;
    Elementwise theirs = op.call;
    outputs.push_back(Tensor::empty(ours.shape(), ours.dtype()));
    theirs.out = {outputs.back().mutable_raw()};
    library.set_threads(threads);
    const auto body = library.elementwise(theirs, threads);
    if (!body) continue;
    body();
    const Floats expected = widened(ours);
    float largest = 0;
    for (const float value : expected) largest = std::max(largest, std::fabs(value));
    check_sums(peer + " " + name, op.roundings, expected, widened(outputs.back()),
               Floats(expected.size(), largest));
    comparison.contenders.push_back({peer, body});
  }
  suite.compare(comparison);
}

// The update of an optimizer from the same gradient each time.
std::function<Tensor()> update(const std::string& optimizer, const Tensor& gradient) {
  OptimizerConfig config;
  config.name = optimizer;
  config.momentum = 0.9;
  Variable w(filled(gradient.shape(), 1), true, "w");
  w.set_grad(gradient);
  const std::shared_ptr<Optimizer> state = make_optimizer(config);
  return [=]() mutable {
    state->step({w}, 1e-3);
    return w.value();
  };
}

void measure(Suite& suite) {
  for (const auto& [name, library] : Registry<Peer>::instance().entries()) {
    if (library.elementwise) suite.library(name, library.version());
  }
  const Tensor image = filled({kN, kC, kH, kW}, 1), dy = filled({kN, kC, kH, kW}, 2);
  const Tensor rows = image.reshape({-1, 1024}), f16 = image.to(Dtype::kF16), bf16 = image.to(Dtype::kBf16);
  const Tensor ones = Tensor::full({1024}, Dtype::kF32, 1), zeros = Tensor::zeros({1024}, Dtype::kF32);
  const Tensor one = Tensor::full({kC}, Dtype::kF32, 1), zero = Tensor::zeros({kC}, Dtype::kF32);
  const Tensor labels = Tensor::zeros({rows.dim(0)}, Dtype::kI32);
  const Variable x(image), r(rows), gamma(ones), beta(zeros), gamma_c(one), beta_c(zero);
  const double f32_bytes = 4.0 * kSize, both = 2 * f32_bytes;
  const auto images = [&](const std::string& op, std::vector<const void*> in) {
    return Elementwise{op, kN, kC, kH, kW, std::move(in), {}};
  };
  const auto rows_of = [&](const std::string& op, std::vector<const void*> in) {
    return Elementwise{op, rows.dim(0), 1, 1, 1024, std::move(in), {}};
  };
  const auto backward = [](const Variable& input, auto forward, const Tensor& seed) {
    return [=] {
      const Variable leaf(input.value(), true, "x");
      forward(leaf).backward(seed);
      return leaf.grad();
    };
  };
  const auto pool = [](const Variable& v) { return max_pool2d(v, {2, 2}); };
  const auto batch = [=](const Variable& v) {
    return batch_norm(v, gamma_c, beta_c, Variable(zero), Variable(one)).y;
  };
  const auto layer = [=](const Variable& v) { return layer_norm(v, gamma, beta); };
  const auto entropy = [=](const Variable& v) { return cross_entropy(v, Variable(labels)); };
  const Tensor dy_rows = dy.reshape({-1, 1024}), dy_pool = filled({kN, kC, kH / 2, kW / 2}, 3);

  // The last number: a function's own error in roundings, or its sum's terms and the few roundings after it.
  const std::vector<Op> ops = {
      {images("relu", {image.raw()}), both, [=] { return relu(x).value(); }, 0},
      {images("gelu", {image.raw()}), both, [=] { return gelu(x).value(); }, 16},
      {images("max pool", {image.raw()}), 1.25 * f32_bytes, [=] { return pool(x).value(); }, 0},
      {images("batch norm", {image.raw(), one.raw(), zero.raw()}), both, [=] { return batch(x).value(); },
       kN * kH * kW + 8},
      {rows_of("layer norm", {rows.raw(), ones.raw(), zeros.raw()}), both, [=] { return layer(r).value(); },
       1024 + 8},
      {rows_of("softmax", {rows.raw()}), both, [=] { return softmax(r).value(); }, 1024 + 16},
      {images("f32 -> f16", {image.raw()}), 1.5 * f32_bytes, [=] { return cast(x, Dtype::kF16).value(); }, 0},
      {images("f32 -> bf16", {image.raw()}), 1.5 * f32_bytes, [=] { return cast(x, Dtype::kBf16).value(); },
       0},
      {images("f16 -> f32", {f16.raw()}), 1.5 * f32_bytes,
       [=] { return cast(Variable(f16), Dtype::kF32).value(); }, 0},
      {images("bf16 -> f32", {bf16.raw()}), 1.5 * f32_bytes,
       [=] { return cast(Variable(bf16), Dtype::kF32).value(); }, 0},
      {images("relu, forward and backward", {}), 5 * f32_bytes, backward(x, relu, dy), 0},
      {images("gelu, forward and backward", {}), 5 * f32_bytes, backward(x, gelu, dy), 0},
      {images("max pool, forward and backward", {}), 3.5 * f32_bytes, backward(x, pool, dy_pool), 0},
      {images("batch norm, forward and backward", {}), 5 * f32_bytes, backward(x, batch, dy), 0},
      {rows_of("layer norm, forward and backward", {}), 5 * f32_bytes, backward(r, layer, dy_rows), 0},
      {rows_of("cross entropy, forward and backward", {}), 4 * f32_bytes, backward(r, entropy, Tensor()), 0},
      {images("sgd update", {}), 5 * f32_bytes, update("sgd", dy), 0},
      {images("adam update", {}), 7 * f32_bytes, update("adam", dy), 0},
  };
  for (const int threads : {1, 2}) {
    for (const Op& op : ops) compare(suite, op, threads);
  }
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(
      argc, argv,
      {"elementwise", "bytes that must move, 64 MiB a tensor, beside a copy", "GB/s", "a copy's rate"},
      measure);
}
