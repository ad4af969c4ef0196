#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/autograd/op.h"
#include "engine/kernels/channel_sum.h"
#include "engine/numerics/sum.h"

namespace faultline {

// What the ops over sums of products share: checks, error bounds, and the sums as plain scalar code.

// A product a [M, K] times b [K, N] and what beside the arithmetic decides its order, as in plan_k.
struct ProductOrder {
  int64_t M, N, K;
  int64_t k_per_leaf = 0;
  bool gradient_sum = false;
};

// Returns a times b by the definition (numerics.md 2.1, 2.3, 3 and 4), before bias and rounding to `out`; so
// one recorded call can be made again. Operands are dense and widened from `stored`; T = double keeps the
// order in f64. A unit other than fma has its plain model, or is
// asked for its own product where it has none.
template <class T>
std::vector<T> reference_product(const ProductOrder& order, std::vector<T> a, std::vector<T> b, Dtype stored,
                                 Dtype out, const Arithmetic& arithmetic);

// Returns what a product gives for one element under an arithmetic, rounded once to `out`: the element of the
// reference, made alone.
float dot_value(const Dot& dot, Dtype stored, Dtype out, const Arithmetic& arithmetic);

// The elements first, first + step, ... of a tensor in row-major order, widened.
std::vector<float> strided_elements(const Tensor& tensor, int64_t first, int64_t step, int64_t count);

// Returns the sum of element(i), i running over samples, then over `per_sample` positions: by the leaf rule,
// or in shuffled blocks (numerics.md 2.3, 4).
template <class T, class Element>
T reference_gradient_sum(int64_t samples, int64_t per_sample, const Arithmetic& arithmetic, Element element) {
  if (arithmetic.order != Order::kShuffled) return leaf_sum<T>(samples, per_sample, element);
  T sum = 0;
  bool first = true;
  for (const KPlan::Range& block : shuffled_blocks(samples * per_sample, arithmetic)) {
    T chain = 0;
    for (int64_t i = block.begin; i < block.end; ++i) chain += element(i);
    sum = first ? chain : sum + chain;
    first = false;
  }
  return sum;
}

// The elements of a tensor, widened.
template <class T>
std::vector<T> widened(const Tensor& tensor) {
  const std::vector<double> values = tensor.to_vector();
  return std::vector<T>(values.begin(), values.end());
}

// A tensor of the values, each rounded once.
template <class T>
Tensor rounded(const Shape& shape, Dtype dtype, const std::vector<T>& values) {
  return Tensor::from(shape, dtype, std::vector<double>(values.begin(), values.end()));
}

// Throws kDtype unless the inputs (undefined ones apart) are floats of one format that the unit takes, and
// what check_unit throws.
void check_product_formats(const std::string& op, const OpCall& call);

// Returns the bound of |got - exact| of one output, given its exact value and sum|a||b| over its K terms:
// gamma(K) * sum|a||b| in the accumulate format (Higham 2002, section 3.1), what rounding operands to tf32
// and parts to the output format adds, one addition of a bias, and the rounding to the stored format. A
// chip's unit cuts terms at 2^-23 of the largest and rounds toward zero: four times gamma.
double product_error(double exact, double magnitude, int64_t K, Dtype stored, const Arithmetic& arithmetic);

}  // namespace faultline
