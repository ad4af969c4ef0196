#include "harness/parting.h"

#include <algorithm>

#include "engine/tensor/digest.h"

namespace faultline::harness {
namespace {

bool same_format(const Tensor& a, const Tensor& b) {
  if (a.defined() != b.defined()) return false;
  return !a.defined() || (a.dtype() == b.dtype() && a.shape() == b.shape());
}

bool equal_bits(const Tensor& a, const Tensor& b) { return !a.defined() || digest(a) == digest(b); }

// Whether the two sides did the same thing, as far as names and formats say.
bool same_place(const Recorded& a, const Recorded& b) {
  return a.step == b.step && a.is_leaf == b.is_leaf && a.phase == b.phase && a.name == b.name &&
         a.op == b.op &&
         std::equal(a.outputs.begin(), a.outputs.end(), b.outputs.begin(), b.outputs.end(), same_format);
}

bool equal_inputs(const Recorded& a, const Recorded& b) {
  const auto inputs_a = a.inputs(), inputs_b = b.inputs();
  return std::equal(
      inputs_a.begin(), inputs_a.end(), inputs_b.begin(), inputs_b.end(), [](const auto& x, const auto& y) {
        return x.first == y.first && same_format(x.second, y.second) && equal_bits(x.second, y.second);
      });
}

Tensor rounded_to_tf32(const Tensor& tensor, Tf32Rounding rounding) {
  if (!tensor.defined() || tensor.dtype() != Dtype::kF32) return tensor;
  Tensor rounded = tensor.clone();
  float* values = rounded.mutable_data<float>();
  std::transform(values, values + rounded.size(), values,
                 [&](float v) { return tf32_from_f32(v, rounding); });
  return rounded;
}

// The call as a tf32 unit reads it. A bias is added to the product in f32, and its gradient is a plain sum.
Recorded as_read(const Recorded& recorded, size_t output) {
  Recorded read = recorded;
  const auto& names = recorded.op->input_names;
  const auto is_bias = [&](size_t input) { return input < names.size() && names[input] == "b"; };
  const Arithmetic& arithmetic = recorded.call.arithmetic;
  const bool product = arithmetic.tf32 && recorded.op->numeric_class == NumericClass::kProduct;
  if (!product || (recorded.grad_output.defined() && is_bias(output))) return read;
  for (size_t i = 0; i < read.call.inputs.size(); ++i) {
    if (!is_bias(i)) {
      read.call.inputs[i] = rounded_to_tf32(read.call.inputs[i], arithmetic.tf32_rounding);
    }
  }
  read.grad_output = rounded_to_tf32(read.grad_output, arithmetic.tf32_rounding);
  return read;
}

}  // namespace

std::optional<Parting> first_parting(const std::vector<Recorded>& a, const std::vector<Recorded>& b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    if (!same_place(a[i], b[i])) return Parting{&a[i], &b[i], false, 0, true};
    for (size_t j = 0; j < a[i].outputs.size(); ++j) {
      if (equal_bits(a[i].outputs[j], b[i].outputs[j])) continue;
      return Parting{&a[i], &b[i], true, j, a[i].is_leaf || equal_inputs(a[i], b[i])};
    }
  }
  if (a.size() == b.size()) return std::nullopt;
  return Parting{a.size() > common ? &a[common] : nullptr, b.size() > common ? &b[common] : nullptr, false, 0,
                 true};
}

std::optional<double> exact_value(const Recorded& recorded, size_t output, int64_t element) {
  if (recorded.is_leaf || !is_float(recorded.outputs[output].dtype())) return std::nullopt;
  Recorded read = as_read(recorded, output);
  for (size_t i = 0; i < read.wanted.size(); ++i) read.wanted[i] = i == output;
  return read.evaluate_f64()[output].at(element);
}

}  // namespace faultline::harness
