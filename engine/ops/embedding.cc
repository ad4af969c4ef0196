#include "engine/ops/embedding.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/error.h"
#include "engine/kernels/channel_sum.h"
#include "engine/kernels/embedding.h"
#include "engine/numerics/sum.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

EmbeddingShape shape_of(const OpCall& call) {
  const Tensor &w = call.inputs[0], &indices = call.inputs[1];
  const int64_t samples = std::max<int64_t>(1, indices.dim(0));
  return {w.dim(0), w.dim(1), indices.size(), indices.size() / samples};
}

Shape output_shape(const OpCall& call) {
  Shape shape = call.inputs[1].shape();
  shape.push_back(call.inputs[0].dim(1));
  return shape;
}

void check(const OpCall& call) {
  const Tensor &w = call.inputs[0], &indices = call.inputs[1];
  const std::string texts = "w " + w.describe() + ", indices " + indices.describe();
  if (!is_float(w.dtype()) || indices.dtype() != Dtype::kI32) {
    throw Error(ErrorCode::kDtype, "embedding", "w must be a float and indices i32: " + texts);
  }
  if (w.rank() != 2 || indices.rank() < 1) {
    throw Error(ErrorCode::kShape, "embedding", "w must be [V, D] and indices [N, ..]: " + texts);
  }
  for (int64_t i = 0; i < indices.size(); ++i) {
    const int64_t index = static_cast<int64_t>(indices.at(i));
    if (index >= 0 && index < w.dim(0)) continue;
    throw Error(ErrorCode::kArgument, "embedding",
                fmt::format("index {} at {} is not a row of w {}", index, to_string(indices.unravel(i)),
                            w.describe()));
  }
}

Tensors forward(const OpCall& call) {
  const Tensor w = call.inputs[0].contiguous(), indices = call.inputs[1].contiguous();
  Tensor y = Tensor::empty(output_shape(call), w.dtype());
  embedding(shape_of(call), w.dtype(), w.raw(), indices.data<int32_t>(), y.mutable_raw());
  return {y};
}

Tensors backward(const OpGradCall& grad) {
  const Tensor &w = grad.call.inputs[0], indices = grad.call.inputs[1].contiguous();
  const Tensor dy = grad.grad_output.contiguous();
  Tensors grads(2);
  if (grad.wanted[0]) {
    grads[0] = Tensor::empty(w.shape(), w.dtype());
    embedding_gradient(shape_of(grad.call), w.dtype(), indices.data<int32_t>(), dy.raw(),
                       grad.call.arithmetic, grads[0].mutable_raw());
  }
  return grads;
}

Tensors forward_reference(const OpCall& call) {
  const Tensor& w = call.inputs[0];
  Tensor y = Tensor::empty(output_shape(call), w.dtype());
  const int64_t D = w.dim(1);
  for (int64_t i = 0; i < y.size(); ++i) {
    y.set(i, w.at(static_cast<int64_t>(call.inputs[1].at(i / D)) * D + i % D));
  }
  return {y};
}

// The sum over tokens [begin, end) that pick the row, in rising order from +0.
template <class T>
T chain(const std::vector<double>& indices, const std::vector<T>& dy, int64_t row, int64_t column, int64_t D,
        int64_t begin, int64_t end) {
  T sum = 0;
  for (int64_t i = begin; i < end; ++i) {
    if (static_cast<int64_t>(indices[i]) == row) sum += dy[i * D + column];
  }
  return sum;
}

template <class T>
Tensor gradient_reference(const OpGradCall& grad) {
  const EmbeddingShape s = shape_of(grad.call);
  const std::vector<double> indices = grad.call.inputs[1].to_vector(), values = grad.grad_output.to_vector();
  const std::vector<T> dy(values.begin(), values.end());
  const bool shuffled = grad.call.arithmetic.order == Order::kShuffled;
  const std::vector<KPlan::Range> blocks = shuffled_blocks(s.tokens, grad.call.arithmetic);
  const int64_t leaf = kLeafSamples * s.tokens_per_sample;
  Tensor dw = Tensor::empty({s.rows, s.width}, grad.call.inputs[0].dtype());
  for (int64_t i = 0; i < dw.size(); ++i) {
    const auto part = [&](int64_t begin, int64_t end) {
      return chain(indices, dy, i / s.width, i % s.width, s.width, begin, end);
    };
    T sum = 0;
    if (shuffled) {
      for (const KPlan::Range& block : blocks) sum += part(block.begin, block.end);
    } else {
      std::vector<T> leaves;
      for (int64_t begin = 0; begin < s.tokens; begin += leaf) {
        leaves.push_back(part(begin, std::min(begin + leaf, s.tokens)));
      }
      sum = tree_join(std::move(leaves));
    }
    dw.set(i, sum);
  }
  return dw;
}

Tensors backward_reference(const OpGradCall& grad) {
  Tensors grads(2);
  if (grad.wanted[0]) {
    grads[0] =
        visit_compute(grad.grad_output.dtype(), [&]<class T>() { return gradient_reference<T>(grad); });
  }
  return grads;
}

std::vector<Sample> samples(Fill fill) {
  const auto inputs = [&](int64_t rows, int64_t width, const Shape& indices) -> Tensors {
    return {sample_tensor({rows, width}, fill), sample_indices(indices, rows)};
  };
  return {{"one", inputs(1, 1, {1}), {}},
          {"rows without tokens", inputs(50, 3, {7}), {}},
          {"repeated rows", inputs(5, 4, {37, 3}), {}},
          {"blocks", inputs(3, 2, {70, 10}), {}},
          {"large", inputs(1100, 60, {100, 10}), {}}};
}

const RegisteredOp kEmbedding{
    "embedding",
    {
        .numeric_class = NumericClass::kAsIs,
        .input_names = {"w", "indices"},
        .check = check,
        .forward = forward,
        .backward = backward,
        .forward_reference = forward_reference,
        .backward_reference = backward_reference,
        .error_bound = [](const OpCall& call) { return Tensor::zeros(output_shape(call), Dtype::kF64); },
        .samples = samples,
    }};

}  // namespace

Variable embedding(const Variable& w, const Variable& indices) { return apply(*kEmbedding, {w, indices})[0]; }

}  // namespace faultline
