#include "engine/ops/batch_norm.h"

#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/kernels/batch_norm.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/normalization.h"
#include "engine/ops/reduction.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

enum Input { kX, kGamma, kBeta, kRunningMean, kRunningVar, kResidual };
enum Output { kY, kNewMean, kNewVar, kMean, kReciprocal };

// One way to evaluate a call: on the kernels, or by the definition.
struct Way {
  const NormSteps& steps;
  std::function<Tensors(const OpCall&)> OpDef::*forward;
  std::function<Tensors(const OpGradCall&)> OpDef::*backward;
};
const Way kKernels = {kNormKernels, &OpDef::forward, &OpDef::backward};
const Way kDefinition = {kNormReference, &OpDef::forward_reference, &OpDef::backward_reference};

const OpDef& op(const char* name) { return Registry<OpDef>::instance().find(name); }

bool training(const OpCall& call) { return call.attributes.integer("training") != 0; }
bool ends_in_relu(const OpCall& call) { return call.attributes.integer("relu") != 0; }

// What is added meets the normalised value as the operands of `add` do.
Dtype result_format(const OpCall& call) {
  const Tensor &x = call.inputs[kX], &residual = call.inputs[kResidual];
  return residual.defined() ? widest(x.dtype(), residual.dtype()) : x.dtype();
}

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
  const Tensor &x = call.inputs[kX], &residual = call.inputs[kResidual];
  const Tensors parameters(call.inputs.begin() + kGamma, call.inputs.begin() + kResidual);
  check_norm_formats("batch_norm", x, parameters);
  if (x.rank() < 2) throw Error(ErrorCode::kShape, "batch_norm", "x must be [N, C, ..]: " + x.describe());
  for (const Tensor& parameter : parameters) {
    if (parameter.shape() != Shape{x.dim(1)}) {
      throw Error(ErrorCode::kShape, "batch_norm",
                  "parameters and statistics must be [C]: x " + x.describe() + ", " + parameter.describe());
    }
  }
  if (training(call) && reduced_count(x.shape(), reduced(x)) < 2) {
    throw Error(ErrorCode::kShape, "batch_norm",
                "training needs two elements a channel for a variance: x " + x.describe());
  }
  if (!residual.defined()) return;
  if (residual.shape() != x.shape()) {
    throw Error(
        ErrorCode::kShape, "batch_norm",
        "the residual must have the shape of x: x " + x.describe() + ", residual " + residual.describe());
  }
  if (!is_float(residual.dtype()) || (residual.dtype() == Dtype::kF64) != (x.dtype() == Dtype::kF64)) {
    throw Error(ErrorCode::kDtype, "batch_norm",
                "the residual must be a float, f64 where x is: x " + x.describe() + ", residual " +
                    residual.describe());
  }
}

// fma(momentum, value - old, old)
Tensor moved(const Tensor& old, const Tensor& value, double momentum) {
  const auto step = [momentum](auto from, auto to) {
    return std::fma(static_cast<decltype(from)>(momentum), to - from, from);
  };
  return map_reference(old.shape(), old.dtype(), step, old, value.reshape(old.shape()));
}

// What follows the normalised value: the ops `add` and `relu`.
Tensor followed(const OpCall& call, const Way& way, Tensor y) {
  if (call.inputs[kResidual].defined()) {
    const Dtype format = result_format(call);
    y = (op("add").*way.forward)(
        {{way.steps.rounded(y, format), way.steps.rounded(call.inputs[kResidual], format)}, {}, {}})[0];
  }
  return ends_in_relu(call) ? (op("relu").*way.forward)({{y}, {}, {}})[0] : y;
}

// The gradient of what relu took. Its result stands in for that: both are above zero, or NaN, at once.
Tensor relu_gradient(const OpGradCall& grad, const Way& way) {
  if (!ends_in_relu(grad.call)) return grad.grad_output;
  const Tensor& y = grad.outputs[kY];
  return (op("relu").*way.backward)({{{y}, {}, {}}, {y}, grad.grad_output, {true}})[0];
}

Tensors forward(const OpCall& call, const Way& way) {
  const NormSteps& steps = way.steps;
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
  return {followed(call, way, steps.rounded(y, call.inputs[kX].dtype())), new_mean, new_var,
          mean.reshape({x.dim(1)}), r.reshape({x.dim(1)})};
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

Tensors backward(const OpGradCall& grad, const Way& way) {
  const NormSteps& steps = way.steps;
  const Tensor dsum = relu_gradient(grad, way);
  const Tensor x = steps.widened(grad.call.inputs[kX]),
               dy = steps.widened(steps.rounded(dsum, grad.call.inputs[kX].dtype()));
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
  if (grad.wanted[kResidual]) grads[kResidual] = steps.rounded(dsum, grad.call.inputs[kResidual].dtype());
  return grads;
}

// Channels this long are normalised one by one, in few passes over memory.
constexpr int64_t kLongChannel = 64;

BatchNormShape channels_of(const OpCall& call) {
  const Tensor& x = call.inputs[kX];
  const int64_t channels = x.dim(0) * x.dim(1);
  return {x.dim(0), x.dim(1), channels == 0 ? 0 : x.size() / channels, x.dtype(), result_format(call)};
}

bool by_channels(const OpCall& call) { return training(call) && channels_of(call).positions >= kLongChannel; }

Tensors forward_by_channels(const OpCall& call) {
  const BatchNormShape shape = channels_of(call);
  const Tensor x = call.inputs[kX].contiguous(), gamma = call.inputs[kGamma].contiguous(),
               beta = call.inputs[kBeta].contiguous(), &residual = call.inputs[kResidual];
  const Tensor added = residual.defined() ? converted(residual, shape.y).contiguous() : Tensor();
  const Shape channels = {x.dim(1)};
  Tensor y = Tensor::empty(x.shape(), shape.y), mean = Tensor::empty(channels, Dtype::kF32),
         squares = Tensor::empty(channels, Dtype::kF32), r = Tensor::empty(channels, Dtype::kF32);
  batch_norm_forward(shape, {.x = x.raw(),
                             .gamma = gamma.data<float>(),
                             .beta = beta.data<float>(),
                             .eps = static_cast<float>(call.attributes.real("eps")),
                             .residual = added.defined() ? added.raw() : nullptr,
                             .relu = ends_in_relu(call),
                             .y = y.mutable_raw(),
                             .mean = mean.mutable_data<float>(),
                             .squares = squares.mutable_data<float>(),
                             .r = r.mutable_data<float>(),
                             .y_pieces = pieces_of(y)});
  const int64_t n = reduced_count(x.shape(), reduced(x));
  const double momentum = call.attributes.real("momentum");
  return {y, moved(call.inputs[kRunningMean], mean, momentum),
          moved(call.inputs[kRunningVar], divided(squares, n - 1), momentum), mean, r};
}

Tensors backward_by_channels(const OpGradCall& grad) {
  const BatchNormShape shape = channels_of(grad.call);
  const Tensor x = grad.call.inputs[kX].contiguous(), dy = grad.grad_output.contiguous(),
               y = grad.outputs[kY].contiguous(), gamma = grad.call.inputs[kGamma].contiguous();
  const Tensor &mean = grad.outputs[kMean], &r = grad.outputs[kReciprocal];
  const bool relu = ends_in_relu(grad.call);
  Tensor s1 = Tensor::empty(gamma.shape(), Dtype::kF32), s2 = Tensor::empty(gamma.shape(), Dtype::kF32), dx;
  if (grad.wanted[kX]) dx = Tensor::empty(x.shape(), x.dtype());
  Tensor dsum = dy;
  const bool writes_dsum = relu && grad.wanted[kResidual];
  if (writes_dsum) dsum = Tensor::empty(x.shape(), shape.y);
  batch_norm_backward(shape, {.x = x.raw(),
                              .dy = dy.raw(),
                              .y = relu ? y.raw() : nullptr,
                              .gamma = gamma.data<float>(),
                              .mean = mean.data<float>(),
                              .r = r.data<float>(),
                              .s1 = s1.mutable_data<float>(),
                              .s2 = s2.mutable_data<float>(),
                              .dx = grad.wanted[kX] ? dx.mutable_raw() : nullptr,
                              .dresidual = writes_dsum ? dsum.mutable_raw() : nullptr,
                              .dx_pieces = grad.wanted[kX] ? pieces_of(dx) : nullptr,
                              .dresidual_pieces = writes_dsum ? pieces_of(dsum) : nullptr});
  Tensors grads(grad.call.inputs.size());
  grads[kX] = dx;
  if (grad.wanted[kRunningMean]) grads[kRunningMean] = running_mean_gradient(grad, s1);
  if (grad.wanted[kRunningVar]) grads[kRunningVar] = running_var_gradient(grad, s2);
  if (grad.wanted[kGamma]) grads[kGamma] = s2;
  if (grad.wanted[kBeta]) grads[kBeta] = s1;
  if (grad.wanted[kResidual]) grads[kResidual] = converted(dsum, grad.call.inputs[kResidual].dtype());
  return grads;
}

Tensors forward_on_kernels(const OpCall& call) {
  return by_channels(call) ? forward_by_channels(call) : forward(call, kKernels);
}

Tensors backward_on_kernels(const OpGradCall& grad) {
  const bool ordered = grad.call.arithmetic.order == Order::kOrdered;
  return ordered && by_channels(grad.call) ? backward_by_channels(grad) : backward(grad, kKernels);
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
  const Tensor& residual = call.inputs[kResidual];
  Tensor bound = Tensor::empty(x.shape(), Dtype::kF64);
  for (int64_t i = 0; i < x.size(); ++i) {
    const int64_t c = channel_of(i);
    const double gamma = call.inputs[kGamma].at(c), beta = call.inputs[kBeta].at(c);
    double error = normalized_error(x.at(i), moments[c], eps, gamma, beta, x.dtype());
    if (residual.defined()) {
      const double r = 1 / std::sqrt(moments[c].variance + eps);
      const double exact = (x.at(i) - moments[c].mean) * r * gamma + beta + residual.at(i);
      error += unit_roundoff(Dtype::kF32) * (std::fabs(exact) + error);
      error = rounded_error(exact, error, result_format(call));
    }
    bound.set(i, error);  // relu moves no two values apart
  }
  return bound;
}

Attributes attributes(double momentum, double eps, bool relu, bool training) {
  return {{"momentum", momentum}, {"eps", eps}, {"relu", int64_t{relu}}, {"training", int64_t{training}}};
}

std::vector<Sample> samples(Fill fill) {
  const auto inputs = [&](const Shape& x, bool residual) -> Tensors {
    const Shape channels = {x[1]};
    return {sample_tensor(x, fill, 0),
            sample_tensor(channels, fill, 1),
            sample_tensor(channels, fill, 2),
            sample_tensor(channels, fill, 3),
            positive_sample_tensor(channels, fill, 4),
            residual ? sample_tensor(x, fill, 5) : Tensor()};
  };
  const auto train = [](bool relu) { return attributes(0.1, 1e-5, relu, true); };
  const auto evaluate = [](bool relu) { return attributes(0.1, 1e-5, relu, false); };
  // Those with relu are small or large: between, a gradient check would step over a zero of some element.
  return {{"small", inputs({2, 1, 3}, false), train(false)},
          {"no positions", inputs({13, 5}, true), train(false)},
          {"leaves", inputs({19, 3, 5, 7}, false), train(false)},
          {"relu", inputs({4, 2, 3}, false), train(true)},
          {"add and relu", inputs({3, 2, 5}, true), train(true)},
          {"evaluation", inputs({3, 4, 5, 2}, false), evaluate(false)},
          {"evaluation, add and relu", inputs({3, 4, 5, 2}, true), evaluate(true)},
          {"long channels", inputs({9, 3, 67}, false), train(false)},
          {"long channels, relu", inputs({9, 5, 67}, false), train(true)},
          {"long channels, add", inputs({9, 3, 67}, true), train(false)},
          {"long channels, add and relu", inputs({9, 5, 8, 9}, true), train(true)},
          {"large", inputs({16, 8, 23, 23}, true), train(true)}};
}

const RegisteredOp kBatchNorm{
    "batch_norm",
    {
        .numeric_class = NumericClass::kAsIs,
        .input_names = {"x", "gamma", "beta", "running_mean", "running_var", "residual"},
        .check = check,
        .forward = forward_on_kernels,
        .backward = backward_on_kernels,
        .forward_reference = [](const OpCall& call) { return forward(call, kDefinition); },
        .backward_reference = [](const OpGradCall& grad) { return backward(grad, kDefinition); },
        .error_bound = error_bound,
        .samples = samples,
    }};

}  // namespace

BatchNormResult batch_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                           const Variable& running_mean, const Variable& running_var,
                           const BatchNormOptions& options) {
  const std::vector<Variable> outputs =
      apply(*kBatchNorm, {x, gamma, beta, running_mean, running_var, options.residual},
            attributes(options.momentum, options.eps, options.relu, execution().training));
  return {outputs[kY], outputs[kNewMean].value(), outputs[kNewVar].value()};
}

}  // namespace faultline
