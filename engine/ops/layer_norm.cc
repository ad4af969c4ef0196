#include "engine/ops/layer_norm.h"

#include <algorithm>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/kernels/layer_norm.h"
#include "engine/ops/normalization.h"
#include "engine/ops/reduction.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

enum Input { kX, kGamma, kBeta };
enum Output { kY, kMean, kReciprocal };

// The axes that are normalised: those of gamma, the last ones; or all others.
std::vector<bool> last_axes(const OpCall& call) {
  std::vector<bool> axes(call.inputs[kX].rank());
  std::fill(axes.end() - call.inputs[kGamma].rank(), axes.end(), true);
  return axes;
}
std::vector<bool> first_axes(const OpCall& call) {
  std::vector<bool> axes = last_axes(call);
  axes.flip();
  return axes;
}

void check(const OpCall& call) {
  const Tensor &x = call.inputs[kX], &gamma = call.inputs[kGamma], &beta = call.inputs[kBeta];
  check_norm_formats("layer_norm", x, {gamma, beta});
  const bool fits = gamma.rank() > 0 && gamma.rank() < x.rank() && gamma.shape() == beta.shape() &&
                    gamma.size() > 0 &&
                    std::equal(gamma.shape().rbegin(), gamma.shape().rend(), x.shape().rbegin());
  if (!fits) {
    throw Error(ErrorCode::kShape, "layer_norm",
                "gamma and beta must be the last axes of x [N, .., D..]: x " + x.describe() + ", gamma " +
                    gamma.describe() + ", beta " + beta.describe());
  }
}

Tensors forward_reference(const OpCall& call) {
  const NormSteps& steps = kNormReference;
  const Tensor x = steps.widened(call.inputs[kX]);
  const NormStatistics s = norm_statistics(steps, x, last_axes(call), call.attributes.real("eps"));
  const Tensor y =
      steps.scale_and_shift(steps.normalize(x, s.mean, s.r), call.inputs[kGamma], call.inputs[kBeta]);
  return {steps.rounded(y, call.inputs[kX].dtype()), s.mean, s.r};
}

// The gradients of the inputs but x.
void parameter_gradients(const OpGradCall& grad, const NormSteps& steps, const Tensor& dy, const Tensor& xhat,
                         Tensors& grads) {
  const OpCall& call = grad.call;
  const Shape& parameter = call.inputs[kGamma].shape();
  if (grad.wanted[kGamma]) {
    grads[kGamma] =
        steps.gradient_sum(steps.multiply(dy, xhat), first_axes(call), call.arithmetic).reshape(parameter);
  }
  if (grad.wanted[kBeta]) {
    grads[kBeta] = steps.gradient_sum(dy, first_axes(call), call.arithmetic).reshape(parameter);
  }
}

Tensors backward_reference(const OpGradCall& grad) {
  const NormSteps& steps = kNormReference;
  const OpCall& call = grad.call;
  const Tensor x = steps.widened(call.inputs[kX]), dy = steps.widened(grad.grad_output);
  const Tensor xhat = steps.normalize(x, grad.outputs[kMean], grad.outputs[kReciprocal]);
  Tensors grads(3);
  if (grad.wanted[kX]) {
    const Tensor g = steps.multiply(dy, call.inputs[kGamma]);
    const int64_t n = call.inputs[kGamma].size();
    const Tensor m1 = divided(steps.sum(g, last_axes(call)), n);
    const Tensor m2 = divided(steps.sum(steps.multiply(g, xhat), last_axes(call)), n);
    grads[kX] =
        steps.rounded(steps.gradient(grad.outputs[kReciprocal], g, m1, xhat, m2), call.inputs[kX].dtype());
  }
  parameter_gradients(grad, steps, dy, xhat, grads);
  return grads;
}

LayerNormShape rows_of(const OpCall& call) {
  const int64_t n = call.inputs[kGamma].size();
  return {call.inputs[kX].size() / n, n, call.inputs[kX].dtype()};
}

Tensors forward_by_rows(const OpCall& call) {
  const Tensor x = call.inputs[kX].contiguous(), gamma = call.inputs[kGamma].contiguous(),
               beta = call.inputs[kBeta].contiguous();
  const Shape kept = kept_shape(x.shape(), last_axes(call));
  Tensor y = Tensor::empty(x.shape(), x.dtype()), mean = Tensor::empty(kept, Dtype::kF32),
         r = Tensor::empty(kept, Dtype::kF32);
  layer_norm_forward(rows_of(call), {x.raw(), gamma.data<float>(), beta.data<float>(),
                                     static_cast<float>(call.attributes.real("eps")), y.mutable_raw(),
                                     mean.mutable_data<float>(), r.mutable_data<float>(), pieces_of(y)});
  return {y, mean, r};
}

Tensors backward_by_rows(const OpGradCall& grad) {
  const OpCall& call = grad.call;
  const Tensor x = call.inputs[kX].contiguous(), dy = grad.grad_output.contiguous(),
               gamma = call.inputs[kGamma].contiguous();
  const Tensor &mean = grad.outputs[kMean], &r = grad.outputs[kReciprocal];
  Tensors grads(3);
  if (grad.wanted[kX]) {
    grads[kX] = Tensor::empty(x.shape(), x.dtype());
    layer_norm_backward(rows_of(call), {x.raw(), dy.raw(), gamma.data<float>(), mean.data<float>(),
                                        r.data<float>(), grads[kX].mutable_raw(), pieces_of(grads[kX])});
  }
  if (grad.wanted[kGamma] || grad.wanted[kBeta]) {
    const NormSteps& steps = kNormKernels;
    const Tensor xhat = grad.wanted[kGamma] ? steps.normalize(steps.widened(x), mean, r) : Tensor();
    parameter_gradients(grad, steps, steps.widened(dy), xhat, grads);
  }
  return grads;
}

Tensor error_bound(const OpCall& call) {
  const Tensor &x = call.inputs[kX], &gamma = call.inputs[kGamma], &beta = call.inputs[kBeta];
  const int64_t n = gamma.size();
  const double eps = call.attributes.real("eps"), roundings = sum_roundings(x.shape(), last_axes(call));
  const std::vector<double> values = x.to_vector();
  Tensor bound = Tensor::empty(x.shape(), Dtype::kF64);
  for (int64_t row = 0; row < x.size(); row += n) {
    const NormMoments moments = norm_moments({values.begin() + row, values.begin() + row + n}, roundings);
    for (int64_t i = 0; i < n; ++i) {
      bound.set(row + i, normalized_error(values[row + i], moments, eps, gamma.at(i), beta.at(i), x.dtype()));
    }
  }
  return bound;
}

std::vector<Sample> samples(Fill fill) {
  const auto inputs = [&](const Shape& x, const Shape& parameter) -> Tensors {
    return {sample_tensor(x, fill, 0), sample_tensor(parameter, fill, 1), sample_tensor(parameter, fill, 2)};
  };
  const Attributes attributes = {{"eps", 1e-5}};
  return {{"small", inputs({1, 3}, {3}), attributes},
          {"leaves", inputs({19, 37}, {37}), attributes},
          {"rows within samples", inputs({9, 5, 70}, {70}), attributes},
          {"two axes", inputs({3, 4, 5, 6}, {5, 6}), attributes},
          {"large", inputs({700, 96}, {96}), attributes}};
}

const RegisteredOp kLayerNorm{"layer_norm",
                              {
                                  .numeric_class = NumericClass::kF32,
                                  .input_names = {"x", "gamma", "beta"},
                                  .check = check,
                                  .forward = forward_by_rows,
                                  .backward = backward_by_rows,
                                  .forward_reference = forward_reference,
                                  .backward_reference = backward_reference,
                                  .error_bound = error_bound,
                                  .samples = samples,
                              }};

}  // namespace

Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta, double eps) {
  return apply(*kLayerNorm, {x, gamma, beta}, {{"eps", eps}})[0];
}

}  // namespace faultline
