#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/autograd/op.h"
#include "engine/optim/bounded.h"

namespace faultline {

// What the update ops share. Inputs are the parameter w, its gradient g and what the optimizer remembers (m,
// v); outputs are the new w, m, v. An op brings its formula once, as Rule<T> with operator()(T& w, T g, T& m,
// T& v) on T = float, double or Bounded; what is not remembered reads as 0.

// Throws kDtype or kShape unless all inputs are f32, or all f64, of one shape.
void check_update(const std::string& op, const OpCall& call);

// Elements for which another thread is worth waking.
constexpr int64_t kUpdateGrain = 16384;

template <class T, class Rule>
std::array<T, 4> updated_element(const OpCall& call, const Rule& rule, int64_t i) {
  std::array<T, 4> e{};
  for (size_t k = 0; k < call.inputs.size(); ++k) e[k] = exactly<T>(call.inputs[k].at(i));
  rule(e[0], e[1], e[2], e[3]);
  return {e[0], e[2], e[3], {}};
}

// Returns the first `outputs` of {w, m, v} as plain scalar code.
template <template <class> class Rule>
Tensors update_reference(const OpCall& call, size_t outputs) {
  const Tensor& w = call.inputs[0];
  const auto evaluate = [&]<class T>() {
    const Rule<T> rule(call);
    Tensors results;
    for (size_t k = 0; k < outputs; ++k) results.push_back(Tensor::empty(w.shape(), w.dtype()));
    for (int64_t i = 0; i < w.size(); ++i) {
      const std::array<T, 4> element = updated_element<T>(call, rule, i);
      for (size_t k = 0; k < outputs; ++k) results[k].set(i, element[k]);
    }
    return results;
  };
  return w.dtype() == Dtype::kF64 ? evaluate.template operator()<double>()
                                  : evaluate.template operator()<float>();
}

// Returns the bound of |got - exact| of the new w.
template <template <class> class Rule>
Tensor update_error_bound(const OpCall& call) {
  const Rule<Bounded> rule(call);
  Tensor bound = Tensor::empty(call.inputs[0].shape(), Dtype::kF64);
  for (int64_t i = 0; i < bound.size(); ++i) {
    bound.set(i, updated_element<Bounded>(call, rule, i)[0].error);
  }
  return bound;
}

}  // namespace faultline
