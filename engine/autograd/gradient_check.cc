#include "engine/autograd/gradient_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace faultline {
namespace {

// L and the sum of its terms' magnitudes.
struct Projection {
  double value = 0, magnitude = 0;
};

Projection project(const OpDef& op, const OpCall& call, const Tensor& dy) {
  const Tensor y = op.forward_reference(call)[0];
  Projection L;
  for (int64_t i = 0; i < y.size(); ++i) {
    L.value += dy.at(i) * y.at(i);
    L.magnitude += std::fabs(dy.at(i) * y.at(i));
  }
  return L;
}

// (L(x + h) - L(x - h)) / 2h for one element of one input.
double central_difference(const OpDef& op, const OpCall& call, const Tensor& dy, size_t input,
                          int64_t element, double h) {
  OpCall moved = call;
  moved.inputs[input] = call.inputs[input].clone();
  const double x = call.inputs[input].at(element);
  moved.inputs[input].set(element, x + h);
  const double above = project(op, moved, dy).value;
  moved.inputs[input].set(element, x - h);
  return (above - project(op, moved, dy).value) / (2 * h);
}

Tensors gradients(const OpDef& op, const OpCall& call, const Tensor& dy) {
  std::vector<bool> wanted;
  for (const Tensor& input : call.inputs) wanted.push_back(input.defined() && is_float(input.dtype()));
  return op.backward_reference({call, op.forward_reference(call), dy, wanted});
}

std::string mismatch(const OpDef& op, size_t input, const Tensor& grad, int64_t element, double expected,
                     double bound) {
  return fmt::format("gradient of {}, input {}, element [{}]: {}, expected {} within {}", op.name, input,
                     fmt::join(grad.unravel(element), ", "), grad.at(element), expected, bound);
}

OpCall in_f64(const OpCall& call) {
  OpCall wide = call;
  for (Tensor& input : wide.inputs) {
    if (input.defined() && is_float(input.dtype())) input = input.to(Dtype::kF64);
  }
  return wide;
}

// |J|^T |dy|, one tensor per input: a backward pass for every output element alone.
Tensors absolute_products(const OpDef& op, const OpCall& call, const Tensor& dy) {
  Tensors sums;
  for (int64_t j = 0; j < dy.size(); ++j) {
    Tensor one = Tensor::zeros(dy.shape(), Dtype::kF64);
    one.set(j, dy.at(j));
    const Tensors column = gradients(op, call, one);
    if (sums.empty()) {
      for (const Tensor& grad : column)
        sums.push_back(grad.defined() ? Tensor::zeros(grad.shape(), Dtype::kF64) : Tensor());
    }
    for (size_t k = 0; k < column.size(); ++k) {
      for (int64_t i = 0; column[k].defined() && i < column[k].size(); ++i)
        sums[k].set(i, sums[k].at(i) + std::fabs(column[k].at(i)));
    }
  }
  return sums;
}

}  // namespace

std::optional<std::string> check_gradient_f64(const OpDef& op, const OpCall& call, const Tensor& dy,
                                              int64_t most) {
  constexpr double kStep = 0x1p-10;
  const Tensors grads = gradients(op, call, dy);
  const double terms = static_cast<double>(dy.size()) + 64;
  const double rounding = terms * 0x1p-52 * project(op, call, dy).magnitude / kStep;
  for (size_t k = 0; k < grads.size(); ++k) {
    if (!grads[k].defined()) continue;
    const int64_t size = grads[k].size(), stride = std::max<int64_t>(1, size / most);
    for (int64_t i = 0; i < size; i += stride) {
      const double coarse = central_difference(op, call, dy, k, i, kStep);
      const double fine = central_difference(op, call, dy, k, i, kStep / 2);
      const double expected = (4 * fine - coarse) / 3;
      const double bound = std::fabs(fine - coarse) + rounding + 0x1p-40 * std::fabs(expected);
      if (!(std::fabs(grads[k].at(i) - expected) <= bound))
        return mismatch(op, k, grads[k], i, expected, bound);
    }
  }
  return {};
}

std::optional<std::string> check_gradient_f32(const OpDef& op, const OpCall& call, const Tensor& dy) {
  const OpCall wide = in_f64(call);
  const Tensor wide_dy = dy.to(Dtype::kF64);
  const Tensors grads = gradients(op, call, dy), exact = gradients(op, wide, wide_dy);
  const Tensors products = absolute_products(op, wide, wide_dy);
  double largest = 0;
  for (int64_t j = 0; j < dy.size(); ++j) largest = std::max(largest, std::fabs(dy.at(j)));
  const double roundings = static_cast<double>(dy.size() + 32) * unit_roundoff(Dtype::kF32);
  const double gamma = roundings / (1 - roundings);
  for (size_t k = 0; k < grads.size(); ++k) {
    for (int64_t i = 0; grads[k].defined() && i < grads[k].size(); ++i) {
      const double bound = gamma * (products.empty() ? 0 : products[k].at(i) + largest);
      if (!(std::fabs(grads[k].at(i) - exact[k].at(i)) <= bound)) {
        return mismatch(op, k, grads[k], i, exact[k].at(i), bound);
      }
    }
  }
  return {};
}

}  // namespace faultline
