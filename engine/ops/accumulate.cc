#include "engine/ops/accumulate.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/accumulate.cc"
#include <hwy/foreach_target.h>

#include "engine/autograd/execution.h"
#include "engine/kernels/elementwise-inl.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/samples.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void accumulate_kernel(const Tensors& terms, Tensor& sum, ResultPieces* pieces) {
  VisitKernelFormat(sum.dtype(), [&]<class T>() HWY_ATTR {
    std::vector<const T*> from;
    for (const Tensor& term : terms) from.push_back(term.data<T>());
    T* to = sum.mutable_data<T>();
    const auto write = [&](int64_t begin, int64_t end) HWY_ATTR {
      ForVectors(end - begin, [&](auto vector, int64_t i) HWY_ATTR {
        VF total = vector.load(from[0] + begin + i);
        for (size_t k = 1; k < from.size(); ++k) total = hn::Add(total, vector.load(from[k] + begin + i));
        vector.store(total, to + begin + i);
      });
    };
    parallel_for("accumulate", sum.size(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
      write_in_pieces(pieces, to, {1, sizeof(T)}, begin, end, write);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(accumulate_kernel);

void check(const OpCall& call) {
  if (call.inputs.size() < 2) throw Error(ErrorCode::kArgument, "accumulate", "needs two or more inputs");
  check_one_float_format("accumulate", call.inputs);
  for (const Tensor& term : call.inputs) {
    if (term.shape() != call.inputs[0].shape()) {
      throw Error(ErrorCode::kShape, "accumulate",
                  "shapes differ: " + call.inputs[0].describe() + " and " + term.describe());
    }
  }
}

Tensors forward(const OpCall& call) {
  Tensors terms;
  for (const Tensor& term : call.inputs) terms.push_back(term.contiguous());
  Tensor sum = Tensor::empty(terms[0].shape(), terms[0].dtype());
  HWY_DYNAMIC_DISPATCH(accumulate_kernel)(terms, sum, pieces_of(sum));
  return {sum};
}

Tensors forward_reference(const OpCall& call) {
  return visit_compute(call.inputs[0].dtype(), [&]<class T>() -> Tensors {
    Tensor sum = Tensor::empty(call.inputs[0].shape(), call.inputs[0].dtype());
    for (int64_t i = 0; i < sum.size(); ++i) {
      T total = static_cast<T>(call.inputs[0].at(i));
      for (size_t k = 1; k < call.inputs.size(); ++k) total += static_cast<T>(call.inputs[k].at(i));
      sum.set(i, total);
    }
    return {sum};
  });
}

Tensors backward(const OpGradCall& grad) {
  Tensors grads(grad.call.inputs.size());
  for (size_t k = 0; k < grads.size(); ++k) {
    if (grad.wanted[k]) grads[k] = grad.grad_output;
  }
  return grads;
}

Tensor error_bound(const OpCall& call) {
  Tensor bound = Tensor::empty(call.inputs[0].shape(), Dtype::kF64);
  for (int64_t i = 0; i < bound.size(); ++i) {
    double exact = 0, magnitude = 0;
    for (const Tensor& term : call.inputs) {
      exact += term.at(i);
      magnitude += std::fabs(term.at(i));
    }
    const double error = gamma_f32(static_cast<double>(call.inputs.size()) - 1) * magnitude;
    bound.set(i, rounded_error(exact, error, call.inputs[0].dtype()));
  }
  return bound;
}

std::vector<Sample> samples(Fill fill) {
  const auto terms = [&](const Shape& shape, int n) {
    Tensors terms;
    for (int k = 0; k < n; ++k) terms.push_back(sample_tensor(shape, fill, k));
    return terms;
  };
  return {{"two", terms({3, 5}, 2), {}}, {"five", terms({17}, 5), {}}, {"large", terms({66000}, 3), {}}};
}

const RegisteredOp kAccumulate{"accumulate",
                               {.numeric_class = NumericClass::kAsIs,
                                .input_names = {"x"},
                                .check = check,
                                .forward = forward,
                                .backward = backward,
                                .forward_reference = forward_reference,
                                .backward_reference = backward,
                                .error_bound = error_bound,
                                .samples = samples}};

}  // namespace

Variable accumulate(const std::vector<Variable>& gradients) { return apply(*kAccumulate, gradients)[0]; }

}  // namespace faultline
#endif  // HWY_ONCE
