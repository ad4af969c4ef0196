#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/autograd/op.h"

namespace faultline {

// One call of a registered op: a sample with its inputs cast to a format.
struct ContractCall {
  const OpDef& op;
  std::string sample;
  std::string format;  // "f32", "tf32", "f16", ...
  OpCall call;

  std::string describe() const;  // "matmul, sample 'odd', tf32"
};

// Calls body for every sample of the op in f32, f16 and bf16, and in tf32 where the op is a product. An op
// that keeps its parameters in f32 (its check refuses them in 16 bits) gets only its first input in the
// format.
void for_each_call(const OpDef& op, Fill fill, const std::function<void(const ContractCall&)>& body);

// The call with its float inputs in f64 and default arithmetic: the exact values, nearly.
OpCall in_f64(const OpCall& call);

// "\nrun this op alone with ...".
std::string reproduce(const ContractCall& call);

// A gradient for outputs[0]: random reals in its format.
Tensor grad_output_for(const Tensor& output);

// Which inputs of the call can have a gradient: the floats.
std::vector<bool> all_wanted(const OpCall& call);

// What is wrong first, or nothing where shapes, formats and every bit are equal; any NaN equals any NaN.
std::optional<std::string> difference(const Tensors& got, const Tensors& expected);

// The same values as views that are not contiguous, where an input has two axes.
OpCall as_views(const OpCall& call);

// Every seventh float replaced: infinities, NaN, zeros, subnormals, the largest value and values that round
// up to the next power of two.
OpCall with_special_values(const OpCall& call);

// The number of elements of the largest input.
int64_t largest_input(const OpCall& call);

// Restores instruction set and thread count at the end of a test.
struct RestoreExecution {
  ~RestoreExecution();
};

}  // namespace faultline
