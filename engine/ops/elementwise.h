#pragma once

#include "engine/autograd/op.h"
#include "engine/kernels/elementwise.h"

namespace faultline {

// What element-wise ops share: running a kernel, and evaluating a definition as plain scalar code.

// Returns kernel(operands) over operands of one format that broadcast to `shape`; `result` is that format or
// f32.
Tensor run_elementwise(ElementwiseKernel kernel, const char* name, const Shape& shape, Dtype result,
                       const Tensors& operands);

// Returns x rounded once to `dtype`; itself if it has that format.
Tensor converted(const Tensor& x, Dtype dtype);

// Calls body.template operator()<T>() with the type in which a definition computes: double for f64, else
// float.
template <class Body>
auto visit_compute(Dtype dtype, Body&& body) {
  if (dtype == Dtype::kF64) return body.template operator()<double>();
  return body.template operator()<float>();
}

// Returns f(operands[0][i], ...) for every element of `shape`, the operands broadcast and widened, the result
// rounded once. f takes and returns T = float or double.
template <class F, class... Operands>
Tensor map_reference(const Shape& shape, Dtype result, F f, const Tensor& first, const Operands&... others) {
  return visit_compute(first.dtype(), [&]<class T>() {
    Tensor out = Tensor::empty(shape, result);
    const auto element = [&](const Tensor& operand, int64_t i) { return static_cast<T>(operand.at(i)); };
    [&](const auto&... views) {
      for (int64_t i = 0; i < out.size(); ++i) out.set(i, f(element(views, i)...));
    }(first.expand(shape), others.expand(shape)...);
    return out;
  });
}

// Throws kDtype unless every input is a float of one format.
void check_one_float_format(const std::string& op, const Tensors& inputs);

}  // namespace faultline
