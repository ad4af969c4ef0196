#include "engine/ops/conv2d.h"

#include <fmt/format.h>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/ops/conv2d_reference.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/product_reference.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

void check_pair(const OpCall& call, const std::string& key, int64_t smallest) {
  const std::vector<int64_t>& pair = call.attributes.integers(key);
  if (pair.size() != 2 || pair[0] < smallest || pair[1] < smallest) {
    throw Error(ErrorCode::kArgument, "conv2d",
                fmt::format("{} must be two sizes of at least {}, not {}", key, smallest, to_string(pair)));
  }
}

void check(const OpCall& call) {
  const Tensor &x = call.inputs[0], &w = call.inputs[1], &b = call.inputs[2];
  check_product_formats("conv2d", call);
  check_pair(call, "stride", 1);
  check_pair(call, "padding", 0);
  if (x.rank() != 4 || w.rank() != 4 || x.dim(1) != w.dim(1)) {
    throw Error(ErrorCode::kShape, "conv2d",
                "x must be [N, C, H, W] and w [O, C, KH, KW]: x " + x.describe() + ", w " + w.describe());
  }
  if (b.defined() && b.shape() != Shape{w.dim(0)}) {
    throw Error(ErrorCode::kShape, "conv2d", "b must be [O]: w " + w.describe() + ", b " + b.describe());
  }
  const Conv2dShape s = conv2d_shape(call);
  if (s.H + 2 * s.pad_h < s.KH || s.W + 2 * s.pad_w < s.KW || w.size() == 0) {
    throw Error(ErrorCode::kShape, "conv2d",
                fmt::format("kernel of w {} does not fit into x {} with padding {}", w.describe(),
                            x.describe(), to_string(call.attributes.integers("padding"))));
  }
}

ConstArray array(const Tensor& tensor) { return {tensor.raw(), tensor.dtype()}; }
Array result(Tensor& tensor) { return {tensor.mutable_raw(), tensor.dtype(), pieces_of(tensor)}; }

Tensors forward(const OpCall& call) {
  const Conv2dShape s = conv2d_shape(call);
  const Tensor x = call.inputs[0].contiguous(), w = call.inputs[1].contiguous();
  const Tensor b = call.inputs[2].defined() ? converted(call.inputs[2], Dtype::kF32).contiguous() : Tensor();
  Tensor y = Tensor::empty({s.N, s.OC, s.OH(), s.OW()}, x.dtype());
  conv2d_forward("conv2d", s, array(x), array(w), b.defined() ? b.data<float>() : nullptr, result(y),
                 call.arithmetic);
  return {y};
}

Tensor bias_gradient(const Conv2dShape& s, const Tensor& dy, const Arithmetic& arithmetic) {
  Tensor db = Tensor::empty({s.OC}, Dtype::kF32);
  channel_sum("conv2d.db", {s.N, 1, s.OC, s.OH() * s.OW()}, dy.dtype(), dy.raw(), arithmetic,
              db.mutable_data<float>());
  return converted(db, dy.dtype());
}

Tensors backward(const OpGradCall& grad) {
  const Conv2dShape s = conv2d_shape(grad.call);
  const Arithmetic& arithmetic = grad.call.arithmetic;
  const Tensor x = grad.call.inputs[0].contiguous(), w = grad.call.inputs[1].contiguous();
  const Tensor dy = grad.grad_output.contiguous();
  Tensors grads(3);
  if (grad.wanted[0]) {
    grads[0] = Tensor::empty(x.shape(), x.dtype());
    conv2d_dx("conv2d", s, array(dy), array(w), result(grads[0]), arithmetic);
  }
  if (grad.wanted[1]) {
    grads[1] = Tensor::empty(w.shape(), w.dtype());
    conv2d_dw("conv2d", s, array(x), array(dy), result(grads[1]), arithmetic);
  }
  if (grad.wanted[2]) grads[2] = bias_gradient(s, dy, arithmetic);
  return grads;
}

Attributes attributes(const std::vector<int64_t>& stride, const std::vector<int64_t>& padding) {
  return {{"stride", stride}, {"padding", padding}};
}

std::vector<Sample> samples(Fill fill) {
  const auto inputs = [&](const Shape& x, const Shape& w, bool bias) -> Tensors {
    return {sample_tensor(x, fill, 0), sample_tensor(w, fill, 1),
            bias ? sample_tensor({w[0]}, fill, 2) : Tensor()};
  };
  return {
      {"one", inputs({1, 1, 1, 1}, {1, 1, 1, 1}, true), attributes({1, 1}, {0, 0})},
      {"no bias", inputs({2, 3, 5, 4}, {2, 3, 3, 2}, false), attributes({1, 1}, {0, 0})},
      {"strided, padded", inputs({9, 3, 8, 9}, {5, 3, 3, 3}, true), attributes({2, 2}, {1, 1})},
      {"uneven stride and padding", inputs({3, 2, 7, 10}, {3, 2, 2, 3}, true), attributes({3, 2}, {1, 2})},
      {"stride above the kernel", inputs({2, 2, 9, 9}, {3, 2, 2, 1}, true), attributes({3, 4}, {0, 1})},
      {"blocks of k", inputs({2, 24, 6, 6}, {4, 24, 5, 5}, true), attributes({1, 1}, {2, 2})},
      {"large", inputs({85, 1, 28, 28}, {3, 1, 5, 5}, true), attributes({1, 1}, {2, 2})},
  };
}

const RegisteredOp kConv2d{"conv2d",
                           {
                               .numeric_class = NumericClass::kProduct,
                               .input_names = {"x", "w", "b"},
                               .check = check,
                               .forward = forward,
                               .backward = backward,
                               .forward_reference = conv2d_forward_reference,
                               .backward_reference = conv2d_backward_reference,
                               .error_bound = conv2d_error_bound,
                               .forward_dot = conv2d_forward_dot,
                               .backward_dot = conv2d_backward_dot,
                               .samples = samples,
                           }};

}  // namespace

Variable conv2d(const Variable& x, const Variable& w, const Variable& b, const std::vector<int64_t>& stride,
                const std::vector<int64_t>& padding) {
  return apply(*kConv2d, {x, w, b}, attributes(stride, padding))[0];
}

}  // namespace faultline
