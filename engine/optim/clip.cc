#include "engine/optim/clip.h"

#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/numerics/sum.h"
#include "engine/ops/samples.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/update.h"

namespace faultline {
namespace {

template <class T>
Tensors scaled(const OpCall& call) {
  const Tensor x = call.inputs[0].contiguous();
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  const T factor = static_cast<T>(call.attributes.real("factor")), *from = x.data<T>();
  T* to = y.mutable_data<T>();
  parallel_for("scale_gradient", y.size(), kUpdateGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = from[i] * factor;
  });
  return {y};
}

Tensors scale_gradient_reference(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  const double factor = round_to(call.attributes.real("factor"), x.dtype());
  for (int64_t i = 0; i < y.size(); ++i) y.set(i, x.at(i) * factor);
  return {y};
}

Tensor scale_gradient_error_bound(const OpCall& call) {
  const Bounded factor = coefficient<Bounded>(call.attributes.real("factor"));
  Tensor bound = Tensor::empty(call.inputs[0].shape(), Dtype::kF64);
  for (int64_t i = 0; i < bound.size(); ++i) {
    bound.set(i, (exactly<Bounded>(call.inputs[0].at(i)) * factor).error);
  }
  return bound;
}

// One multiplication by a factor that is rounded to the gradient's format: unscaling and clipping.
const RegisteredOp kScaleGradient{
    "scale_gradient",
    {.numeric_class = NumericClass::kF32,
     .input_names = {"g"},
     .check =
         [](const OpCall& call) {
           const Dtype dtype = call.inputs.at(0).dtype();
           if (dtype != Dtype::kF32 && dtype != Dtype::kF64) {
             throw Error(ErrorCode::kDtype, "scale_gradient", "takes f32, got " + call.inputs[0].describe());
           }
         },
     .forward = scaled<float>,
     .backward = {},  // an update has no derivative
     .forward_reference = scale_gradient_reference,
     .backward_reference = {},
     .error_bound = scale_gradient_error_bound,
     .samples = [](Fill fill) -> std::vector<Sample> {
       return {{"one element", {sample_tensor({1}, fill)}, {{"factor", 0.5}}},
               {"not a power of two", {sample_tensor({7, 9}, fill)}, {{"factor", 0.1}}},
               {"several threads", {sample_tensor({512, 201}, fill)}, {{"factor", 1.0 / 3.0}}}};
     }}};

}  // namespace

void scale_gradient(Variable parameter, float factor, const std::string& what) {
  parameter.set_grad(run_op(Phase::kOptimizer, parameter.name() + "/" + what, *kScaleGradient,
                            {{parameter.grad()}, {{"factor", static_cast<double>(factor)}}, {}})[0]);
}

float gradient_norm(const std::vector<Variable>& parameters) {
  check_gradients("gradient norm", parameters);
  float total = 0;
  for (const Variable& parameter : parameters) {
    const Tensor grad = parameter.grad().contiguous();
    const float* g = grad.data<float>();
    total += lane_sum<float>(grad.size(), [g](int64_t i) { return g[i] * g[i]; });
  }
  return std::sqrt(total);
}

float clip_gradient_norm(const std::vector<Variable>& parameters, double max_norm) {
  check_setting("gradient clipping", "max_norm", max_norm, 0, 1e30);
  const float norm = gradient_norm(parameters);
  const float factor = static_cast<float>(max_norm) / (norm + 1e-6f);
  if (factor < 1) {
    for (const Variable& parameter : parameters) scale_gradient(parameter, factor, "clip");
  }
  return norm;
}

}  // namespace faultline
