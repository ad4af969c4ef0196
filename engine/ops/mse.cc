#include "engine/ops/mse.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/mse.cc"
#include <hwy/foreach_target.h>

#include "engine/base/error.h"
#include "engine/kernels/elementwise-inl.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/reduction.h"
#include "engine/ops/samples.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void squared_difference(const ElementwiseCall& call) {
  MapElements<2>(call, [](VF a, VF b) HWY_ATTR {
    const VF difference = hn::Sub(a, b);
    return hn::Mul(difference, difference);
  });
}

void mse_gradient(const ElementwiseCall& call) {
  MapElements<3>(call, [](VF a, VF b, VF scale)
                           HWY_ATTR { return hn::Mul(hn::Mul(hn::Set(DF(), 2.0f), hn::Sub(a, b)), scale); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(squared_difference);
HWY_EXPORT(mse_gradient);

void check(const OpCall& call) {
  check_one_float_format("mse", call.inputs);
  if (call.inputs[0].shape() != call.inputs[1].shape()) {
    throw Error(ErrorCode::kShape, "mse",
                "shapes differ: " + call.inputs[0].describe() + " and " + call.inputs[1].describe());
  }
}

std::vector<bool> all_axes(const Tensor& x) { return std::vector<bool>(x.shape().size(), true); }

// The sum over everything divided by the count: a scalar.
template <class T>
Tensor mean_of(const Tensor& sum, int64_t count) {
  return Tensor::full({}, dtype_of<T>(), static_cast<T>(sum.at(0)) / static_cast<T>(count));
}

Tensors forward(const OpCall& call) {
  const Tensor &x = call.inputs[0], &target = call.inputs[1];
  const auto kernel = [](const ElementwiseCall& c) { HWY_DYNAMIC_DISPATCH(squared_difference)(c); };
  const Tensor squares = run_elementwise(kernel, "mse", x.shape(), Dtype::kF32, {x, target});
  return {mean_of<float>(sum_axes(squares, all_axes(x)), x.size())};
}

Tensors backward(const OpGradCall& grad) {
  const Tensor &x = grad.call.inputs[0], &target = grad.call.inputs[1];
  const Tensor scale = mean_of<float>(grad.grad_output, x.size());
  const Tensor a = converted(x, Dtype::kF32), b = converted(target, Dtype::kF32);
  const auto kernel = [](const ElementwiseCall& c) { HWY_DYNAMIC_DISPATCH(mse_gradient)(c); };
  Tensors grads(2);
  if (grad.wanted[0])
    grads[0] = converted(run_elementwise(kernel, "mse", x.shape(), Dtype::kF32, {a, b, scale}), x.dtype());
  if (grad.wanted[1])
    grads[1] = converted(run_elementwise(kernel, "mse", x.shape(), Dtype::kF32, {b, a, scale}), x.dtype());
  return grads;
}

Tensors forward_reference(const OpCall& call) {
  const Tensor &x = call.inputs[0], &target = call.inputs[1];
  return visit_compute(x.dtype(), [&]<class T>() -> Tensors {
    const auto square = [](T a, T b) { return (a - b) * (a - b); };
    const Tensor squares = map_reference(x.shape(), dtype_of<T>(), square, x, target);
    return {mean_of<T>(sum_axes_reference(squares, all_axes(x)), x.size())};
  });
}

Tensors backward_reference(const OpGradCall& grad) {
  const Tensor &x = grad.call.inputs[0], &target = grad.call.inputs[1];
  return visit_compute(x.dtype(), [&]<class T>() -> Tensors {
    const T scale = static_cast<T>(mean_of<T>(grad.grad_output, x.size()).at(0));
    const auto gradient = [scale](T a, T b) { return (T(2) * (a - b)) * scale; };
    Tensors grads(2);
    if (grad.wanted[0]) grads[0] = map_reference(x.shape(), x.dtype(), gradient, x, target);
    if (grad.wanted[1]) grads[1] = map_reference(x.shape(), x.dtype(), gradient, target, x);
    return grads;
  });
}

Tensor error_bound(const OpCall& call) {
  const Tensor &x = call.inputs[0], &target = call.inputs[1];
  const double exact = forward_reference({{x.to(Dtype::kF64), target.to(Dtype::kF64)}, {}, {}})[0].at(0);
  return Tensor::full({}, Dtype::kF64, gamma_f32(sum_roundings(x.shape(), all_axes(x)) + 4) * exact);
}

std::vector<Sample> samples(Fill fill) {
  const auto make = [&](const char* name, const Shape& shape) {
    return Sample{name, {sample_tensor(shape, fill, 1), sample_tensor(shape, fill, 2)}, {}};
  };
  return {make("scalar", {}), make("odd", {19, 7}), make("large", {33, 2000})};
}

const RegisteredOp kMse{"mse",
                        {.numeric_class = NumericClass::kF32,
                         .input_names = {"x", "target"},
                         .check = check,
                         .forward = forward,
                         .backward = backward,
                         .forward_reference = forward_reference,
                         .backward_reference = backward_reference,
                         .error_bound = error_bound,
                         .samples = samples}};

}  // namespace

Variable mse(const Variable& x, const Variable& target) { return apply(*kMse, {x, target})[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
