#include "engine/ops/product_reference.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/mma/k_plan.h"
#include "engine/mma/unit.h"
#include "engine/ops/error_bound.h"

namespace faultline {
namespace {

// The outputs of one product, or their partial sums.
template <class T>
using Sums = std::vector<T>;

template <class T>
void round_all(Sums<T>& sums, Dtype format) {
  if constexpr (std::is_same_v<T, float>) {
    for (float& sum : sums) sum = static_cast<float>(round_to(sum, format));
  }
}

template <class T>
void add(Sums<T>& sums, const Sums<T>& next, Dtype format) {
  for (size_t i = 0; i < sums.size(); ++i) sums[i] += next[i];
  round_all(sums, format);
}

// The smallest subtrees first: neighbours pairwise, an odd one passes up.
template <class T>
Sums<T> join_tree(std::vector<Sums<T>> leaves, Dtype format) {
  while (leaves.size() > 1) {
    std::vector<Sums<T>> level;
    for (size_t i = 0; i < leaves.size(); i += 2) {
      level.push_back(std::move(leaves[i]));
      if (i + 1 < leaves.size()) add(level.back(), leaves[i + 1], format);
    }
    leaves = std::move(level);
  }
  return std::move(leaves.front());
}

template <class T>
Sums<T> join_chain(std::vector<Sums<T>> parts, Dtype accumulate, Dtype part_format) {
  for (Sums<T>& part : parts) round_all(part, part_format);
  for (size_t i = 1; i < parts.size(); ++i) {
    add(parts[0], parts[i], accumulate);
    round_all(parts[0], part_format);
  }
  return std::move(parts[0]);
}

// One chain from +0 for each output.
template <class T>
Sums<T> chains(const ProductOrder& order, const KPlan::Range& range, const std::vector<T>& a,
               const std::vector<T>& b, Dtype accumulate) {
  Sums<T> sums(order.M * order.N);
  for (int64_t i = 0; i < order.M * order.N; ++i) {
    const int64_t m = i / order.N, n = i % order.N;
    for (int64_t k = range.begin; k < range.end; ++k) {
      const T left = a[m * order.K + k], right = b[k * order.N + n];
      if (std::is_same_v<T, double> || accumulate == Dtype::kF32) {
        sums[i] = std::fma(left, right, sums[i]);
      } else {
        const double step = std::fma(double{left}, double{right}, double{sums[i]});
        sums[i] = static_cast<T>(round_to(step, accumulate));
      }
    }
  }
  return sums;
}

Sums<float> unit_chains(const ProductOrder& order, const KPlan::Range& range, const std::vector<float>& a,
                        const std::vector<float>& b, Dtype input, const Arithmetic& arithmetic) {
  const int64_t depth = range.end - range.begin;
  std::vector<float> left(order.M * depth);
  for (int64_t m = 0; m < order.M; ++m) {
    std::copy_n(a.begin() + m * order.K + range.begin, depth, left.begin() + m * depth);
  }
  Sums<float> sums(order.M * order.N);
  const Unit& unit = Registry<Unit>::instance().find(arithmetic.unit);
  const UnitProduct product{order.M,
                            order.N,
                            depth,
                            left.data(),
                            b.data() + range.begin * order.N,
                            sums.data(),
                            input,
                            arithmetic.accumulate};
  if (unit.dot)
    product_of_dots(product, unit.dot);
  else
    unit.product(product);
  return sums;
}

}  // namespace

template <class T>
std::vector<T> reference_product(const ProductOrder& order, std::vector<T> a, std::vector<T> b, Dtype stored,
                                 Dtype out, const Arithmetic& arithmetic) {
  const Dtype input = unit_input(arithmetic, stored);
  if (input == Dtype::kTf32) {
    for (auto* operand : {&a, &b}) {
      for (T& value : *operand) {
        value = tf32_from_f32(static_cast<float>(value), arithmetic.tf32_rounding);
      }
    }
  }
  const KPlan plan = plan_k(order.K, order.k_per_leaf, order.gradient_sum, arithmetic);
  const auto range_sums = [&](const KPlan::Range& range) {
    if constexpr (std::is_same_v<T, float>) {
      if (arithmetic.unit != kFmaUnit) return unit_chains(order, range, a, b, input, arithmetic);
    }
    return chains(order, range, a, b, arithmetic.accumulate);
  };
  std::vector<Sums<T>> leaves;
  for (const auto& ranges : plan.leaves) {
    leaves.push_back(range_sums(ranges.front()));
    for (size_t i = 1; i < ranges.size(); ++i) {
      add(leaves.back(), range_sums(ranges[i]), arithmetic.accumulate);
    }
  }
  if (leaves.empty()) return Sums<T>(order.M * order.N);
  if (leaves.size() == 1) return std::move(leaves.front());
  if (plan.join == KPlan::Join::kTree) return join_tree(std::move(leaves), arithmetic.accumulate);
  return join_chain(std::move(leaves), arithmetic.accumulate,
                    arithmetic.split_reduce_in_output ? out : Dtype::kF32);
}

template std::vector<float> reference_product(const ProductOrder&, std::vector<float>, std::vector<float>,
                                              Dtype, Dtype, const Arithmetic&);
template std::vector<double> reference_product(const ProductOrder&, std::vector<double>, std::vector<double>,
                                               Dtype, Dtype, const Arithmetic&);

float dot_value(const Dot& dot, Dtype stored, Dtype out, const Arithmetic& arithmetic) {
  const ProductOrder order{1, 1, static_cast<int64_t>(dot.a.size()), dot.k_per_leaf, dot.gradient_sum};
  const float sum = reference_product<float>(order, dot.a, dot.b, stored, out, arithmetic).front();
  return static_cast<float>(round_to(dot.has_bias ? sum + dot.bias : sum, out));
}

std::vector<float> strided_elements(const Tensor& tensor, int64_t first, int64_t step, int64_t count) {
  std::vector<float> elements(count);
  for (int64_t i = 0; i < count; ++i) elements[i] = static_cast<float>(tensor.at(first + i * step));
  return elements;
}

void check_product_formats(const std::string& op, const OpCall& call) {
  const Dtype dtype = call.inputs[0].dtype();
  std::vector<std::string> texts;
  bool one_float_format = is_float(dtype);
  for (const Tensor& input : call.inputs) {
    if (!input.defined()) continue;
    texts.push_back(input.describe());
    one_float_format &= input.dtype() == dtype;
  }
  if (!one_float_format) {
    throw Error(ErrorCode::kDtype, op, "inputs must be floats of one format: " + join(texts, ", "));
  }
  if (dtype != Dtype::kF64) check_unit(call.arithmetic, unit_input(call.arithmetic, dtype), op);
}

double product_error(double exact, double magnitude, int64_t K, Dtype stored, const Arithmetic& arithmetic) {
  const auto gamma = [](double n, Dtype format) {
    const double nu = n * unit_roundoff(format);
    return nu / (1 - nu);
  };
  const DtypeInfo& accumulate = info(arithmetic.accumulate);
  const int smallest_exponent = 2 - (1 << (accumulate.exponent_bits - 1)) - accumulate.fraction_bits;
  const double terms = static_cast<double>(K);
  double error = magnitude * gamma(arithmetic.unit == kFmaUnit ? terms : 4 * terms, arithmetic.accumulate);
  error += terms * std::ldexp(0.5, smallest_exponent);
  // Truncation errs by twice the unit roundoff, in either operand.
  if (unit_input(arithmetic, stored) == Dtype::kTf32) error += magnitude * gamma(4, Dtype::kTf32);
  if (arithmetic.split_reduce_in_output) error += magnitude * gamma(2.0 * arithmetic.split_k, stored);
  return rounded_error(exact, error + gamma_f32(1) * (std::fabs(exact) + error), stored);
}

}  // namespace faultline
