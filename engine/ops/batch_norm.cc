#include "engine/ops/batch_norm.h"

#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/kernels/batch_norm.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/normalization.h"
#include "engine/ops/reduction.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

enum Input { kX, kGamma, kBeta, kRunningMean, kRunningVar };
enum Output { kY, kNewMean, kNewVar, kMean, kReciprocal };

bool training(const OpCall& call) { return call.attributes.integer("training") != 0; }

// All axes but the channels'.
std::vector<bool> reduced(const Tensor& x) {
  std::vector<bool> axes(x.rank(), true);
  axes[1] = false;
  return axes;
}

// A [C] as it broadcasts to x.
Tensor along_channels(const Tensor& values, const Tensor& x) {
  return values.reshape(kept_shape(x.shape(), reduced(x)));
}

void check(const OpCall& call) {
  const Tensor& x = call.inputs[kX];
  check_norm_formats("batch_norm", call);
  if (x.rank() < 2) throw Error(ErrorCode::kShape, "batch_norm", "x must be [N, C, ..]: " + x.describe());
  for (const Tensor& input : call.inputs) {
    if (&input != &x && input.shape() != Shape{x.dim(1)}) {
      throw Error(ErrorCode::kShape, "batch_norm",
                  "parameters and statistics must be [C]: x " + x.describe() + ", " + input.describe());
    }
  }
  if (training(call) && reduced_count(x.shape(), reduced(x)) < 2) {
    throw Error(ErrorCode::kShape, "batch_norm",
                "training needs two elements a channel for a variance: x " + x.describe());
  }
}

// fma(momentum, value - old, old)
Tensor moved(const Tensor& old, const Tensor& value, double momentum) {
  const auto step = [momentum](auto from, auto to) {
    return std::fma(static_cast<decltype(from)>(momentum), to - from, from);
  };
  return map_reference(old.shape(), old.dtype(), step, old, value.reshape(old.shape()));
}

Tensors forward(const OpCall& call, const NormSteps& steps) {
  const Tensor x = steps.widened(call.inputs[kX]);
  const double eps = call.attributes.real("eps"), momentum = call.attributes.real("momentum");
  const Tensor &old_mean = call.inputs[kRunningMean], &old_var = call.inputs[kRunningVar];
  Tensor mean = along_channels(old_mean, x), r, new_mean = old_mean, new_var = old_var;
  if (training(call)) {
    const NormStatistics statistics = norm_statistics(steps, x, reduced(x), eps);
    const int64_t n = reduced_count(x.shape(), reduced(x));
    mean = statistics.mean;
    r = statistics.r;
    new_mean = moved(old_mean, mean, momentum);
    new_var = moved(old_var, divided(statistics.squares, n - 1), momentum);
  } else {
    r = reciprocal_deviation(along_channels(old_var, x), eps);
  }
  const Tensor y = steps.scale_and_shift(steps.normalize(x, mean, r), along_channels(call.inputs[kGamma], x),
                                         along_channels(call.inputs[kBeta], x));
  return {steps.rounded(y, call.inputs[kX].dtype()), new_mean, new_var, mean.reshape({x.dim(1)}),
          r.reshape({x.dim(1)})};
}

// y does not depend on the running statistics in training. Else d/dmean = -(gamma r) s1, d/dvar = -(gamma r)
// r / 2 s2.
Tensor running_mean_gradient(const OpGradCall& grad, const Tensor& s1) {
  const Tensor &gamma = grad.call.inputs[kGamma], &r = grad.outputs[kReciprocal];
  if (training(grad.call)) return Tensor::zeros(gamma.shape(), gamma.dtype());
  const auto step = [](auto g, auto r, auto s) { return -(g * r) * s; };
  return map_reference(gamma.shape(), gamma.dtype(), step, gamma, r, s1.reshape(gamma.shape()));
}
Tensor running_var_gradient(const OpGradCall& grad, const Tensor& s2) {
  const Tensor &gamma = grad.call.inputs[kGamma], &r = grad.outputs[kReciprocal];
  if (training(grad.call)) return Tensor::zeros(gamma.shape(), gamma.dtype());
  const auto step = [](auto g, auto r, auto s) { return -(g * r) * (r / 2) * s; };
  return map_reference(gamma.shape(), gamma.dtype(), step, gamma, r, s2.reshape(gamma.shape()));
}

Tensors backward(const OpGradCall& grad, const NormSteps& steps) {
  const Tensor x = steps.widened(grad.call.inputs[kX]), dy = steps.widened(grad.grad_output);
  const Tensor gamma = along_channels(grad.call.inputs[kGamma], x);
  const Tensor r = along_channels(grad.outputs[kReciprocal], x);
  const Tensor xhat = steps.normalize(x, along_channels(grad.outputs[kMean], x), r);
  const Arithmetic& arithmetic = grad.call.arithmetic;
  const Tensor s1 = steps.gradient_sum(dy, reduced(x), arithmetic);
  const Tensor s2 = steps.gradient_sum(steps.multiply(dy, xhat), reduced(x), arithmetic);
  Tensors grads(grad.call.inputs.size());
  if (grad.wanted[kX]) {
    const int64_t n = reduced_count(x.shape(), reduced(x));
    const Tensor scale = steps.multiply(gamma, r);
    const Tensor dx = training(grad.call) ? steps.gradient(scale, dy, divided(s1, n), xhat, divided(s2, n))
                                          : steps.multiply(scale, dy);
    grads[kX] = steps.rounded(dx, grad.call.inputs[kX].dtype());
  }
  if (grad.wanted[kRunningMean]) grads[kRunningMean] = running_mean_gradient(grad, s1);
  if (grad.wanted[kRunningVar]) grads[kRunningVar] = running_var_gradient(grad, s2);
  if (grad.wanted[kGamma]) grads[kGamma] = s2.reshape({x.dim(1)});
  if (grad.wanted[kBeta]) grads[kBeta] = s1.reshape({x.dim(1)});
  return grads;
}

// Channels this long are normalised one by one, in few passes over memory.
constexpr int64_t kLongChannel = 64;

BatchNormShape channels_of(const Tensor& x) {
  const int64_t channels = x.dim(0) * x.dim(1);
  return {x.dim(0), x.dim(1), channels == 0 ? 0 : x.size() / channels, x.dtype()};
}

bool by_channels(const OpCall& call) {
  const Tensor& x = call.inputs[kX];
  return training(call) && channels_of(x).positions >= kLongChannel;
}

Tensors forward_by_channels(const OpCall& call) {
  const Tensor x = call.inputs[kX].contiguous(), gamma = call.inputs[kGamma].contiguous(),
               beta = call.inputs[kBeta].contiguous();
  const Shape channels = {x.dim(1)};
  Tensor y = Tensor::empty(x.shape(), x.dtype()), mean = Tensor::empty(channels, Dtype::kF32),
         squares = Tensor::empty(channels, Dtype::kF32), r = Tensor::empty(channels, Dtype::kF32);
  batch_norm_forward(
      channels_of(x),
      {x.raw(), gamma.data<float>(), beta.data<float>(), static_cast<float>(call.attributes.real("eps")),
       y.mutable_raw(), mean.mutable_data<float>(), squares.mutable_data<float>(), r.mutable_data<float>()});
  const int64_t n = reduced_count(x.shape(), reduced(x));
  const double momentum = call.attributes.real("momentum");
  return {y, moved(call.inputs[kRunningMean], mean, momentum),
          moved(call.inputs[kRunningVar], divided(squares, n - 1), momentum), mean, r};
}

Tensors backward_by_channels(const OpGradCall& grad) {
  const Tensor x = grad.call.inputs[kX].contiguous(), dy = grad.grad_output.contiguous(),
               gamma = grad.call.inputs[kGamma].contiguous();
  const Tensor &mean = grad.outputs[kMean], &r = grad.outputs[kReciprocal];
  Tensor s1 = Tensor::empty(gamma.shape(), Dtype::kF32), s2 = Tensor::empty(gamma.shape(), Dtype::kF32), dx;
  if (grad.wanted[kX]) dx = Tensor::empty(x.shape(), x.dtype());
  batch_norm_backward(channels_of(x), {x.raw(), dy.raw(), gamma.data<float>(), mean.data<float>(),
                                       r.data<float>(), s1.mutable_data<float>(), s2.mutable_data<float>(),
                                       grad.wanted[kX] ? dx.mutable_raw() : nullptr});
  Tensors grads(grad.call.inputs.size());
  grads[kX] = dx;
  if (grad.wanted[kRunningMean]) grads[kRunningMean] = running_mean_gradient(grad, s1);
  if (grad.wanted[kRunningVar]) grads[kRunningVar] = running_var_gradient(grad, s2);
  if (grad.wanted[kGamma]) grads[kGamma] = s2;
  if (grad.wanted[kBeta]) grads[kBeta] = s1;
  return grads;
}

Tensors forward_on_kernels(const OpCall& call) {
  return by_channels(call) ? forward_by_channels(call) : forward(call, kNormKernels);
}

Tensors backward_on_kernels(const OpGradCall& grad) {
  const bool ordered = grad.call.arithmetic.order == Order::kOrdered;
  return ordered && by_channels(grad.call) ? backward_by_channels(grad) : backward(grad, kNormKernels);
}

Tensor error_bound(const OpCall& call) {
  const Tensor& x = call.inputs[kX];
  const int64_t C = x.dim(1), positions = x.dim(0) * C == 0 ? 0 : x.size() / x.dim(0) / C;
  const double eps = call.attributes.real("eps"), roundings = sum_roundings(x.shape(), reduced(x));
  const auto channel_of = [&](int64_t i) { return i / positions % C; };
  std::vector<std::vector<double>> channels(C);
  for (int64_t i = 0; i < x.size(); ++i) channels[channel_of(i)].push_back(x.at(i));
  std::vector<NormMoments> moments;
  for (int64_t c = 0; c < C; ++c) {
    moments.push_back(
        training(call) ? norm_moments(channels[c], roundings)
                       : NormMoments{call.inputs[kRunningMean].at(c), 0, call.inputs[kRunningVar].at(c), 0});
  }
  Tensor bound = Tensor::empty(x.shape(), Dtype::kF64);
  for (int64_t i = 0; i < x.size(); ++i) {
    const int64_t c = channel_of(i);
    bound.set(i, normalized_error(x.at(i), moments[c], eps, call.inputs[kGamma].at(c),
                                  call.inputs[kBeta].at(c), x.dtype()));
  }
  return bound;
}

Attributes attributes(double momentum, double eps, bool training) {
  return {{"momentum", momentum}, {"eps", eps}, {"training", int64_t{training}}};
}

std::vector<Sample> samples(Fill fill) {
  const auto inputs = [&](const Shape& x) -> Tensors {
    const Shape channels = {x[1]};
    return {sample_tensor(x, fill, 0), sample_tensor(channels, fill, 1), sample_tensor(channels, fill, 2),
            sample_tensor(channels, fill, 3), positive_sample_tensor(channels, fill, 4)};
  };
  const Attributes train = attributes(0.1, 1e-5, true), evaluate = attributes(0.1, 1e-5, false);
  return {{"small", inputs({2, 1, 3}), train},
          {"no positions", inputs({13, 5}), train},
          {"leaves", inputs({19, 3, 5, 7}), train},
          {"evaluation", inputs({3, 4, 5, 2}), evaluate},
          {"large", inputs({16, 8, 23, 23}), train}};
}

const RegisteredOp kBatchNorm{
    "batch_norm",
    {
        .numeric_class = NumericClass::kAsIs,
        .input_names = {"x", "gamma", "beta", "running_mean", "running_var"},
        .check = check,
        .forward = forward_on_kernels,
        .backward = backward_on_kernels,
        .forward_reference = [](const OpCall& call) { return forward(call, kNormReference); },
        .backward_reference = [](const OpGradCall& grad) { return backward(grad, kNormReference); },
        .error_bound = error_bound,
        .samples = samples,
    }};

}  // namespace

BatchNormResult batch_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                           const Variable& running_mean, const Variable& running_var, double momentum,
                           double eps) {
  const std::vector<Variable> outputs = apply(*kBatchNorm, {x, gamma, beta, running_mean, running_var},
                                              attributes(momentum, eps, execution().training));
  return {outputs[kY], outputs[kNewMean].value(), outputs[kNewVar].value()};
}

}  // namespace faultline
