#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/autograd/attributes.h"
#include "engine/base/registry.h"
#include "engine/mma/arithmetic.h"
#include "engine/tensor/tensor.h"

namespace faultline {

// What an op's numerics need. A precision policy maps the class to a format (peers.md B1), never the op's
// name.
enum class NumericClass : uint8_t {
  kProduct,  // sums of products: runs in the low-precision compute type
  kF32,      // exponentials, norms, losses, sums: inputs widened to f32
  kWidest,   // operands that meet: the widest of their formats (f16 with bf16: f32)
  kAsIs,     // runs in the format of its input
};
const char* name(NumericClass numeric_class);

using Tensors = std::vector<Tensor>;

// All that an op's forward may read. A result is a function of this and of nothing else.
struct OpCall {
  Tensors inputs;
  Attributes attributes;
  Arithmetic arithmetic;
};

// All that an op's backward may read.
struct OpGradCall {
  const OpCall& call;
  const Tensors& outputs;     // of the forward
  const Tensor& grad_output;  // dL / d outputs[0], in the format of outputs[0]
  std::vector<bool> wanted;   // per input
};

// One output element of a product: the pairs whose products it sums, k rising, padding as +0, widened.
struct Dot {
  std::vector<float> a, b;
  float bias = 0;  // added in f32 to the finished sum
  bool has_bias = false;
  int64_t k_per_leaf = 0;     // as in plan_k
  bool gradient_sum = false;  // as in plan_k
};

// One call that the contract tests, the benchmarks and the gradient check make of an op.
struct Sample {
  std::string name;  // "strided, padded"
  Tensors inputs;    // f32 (i32 for indices); the tests cast them to the other formats
  Attributes attributes;
};

// Small integers give the exact result in any order; random reals show a changed order.
enum class Fill : uint8_t { kIntegers, kReals };

// An op: one entry of the op registry, one pair of files in engine/ops.
struct OpDef {
  static constexpr const char* kKind = "op";

  std::string name = {};  // filled in by the registrar
  NumericClass numeric_class = NumericClass::kAsIs;
  std::vector<std::string> input_names;  // "x", "w", "b": their gradients are called dx, dw, db

  // Shapes and formats of the inputs; throws kShape, kDtype or kArgument before anything is computed.
  std::function<void(const OpCall&)> check;

  // The kernels. outputs[0] is the differentiable result; others are statistics for the backward or the
  // caller.
  std::function<Tensors(const OpCall&)> forward;
  // One gradient per input, in that input's format; undefined where not wanted or not differentiable.
  std::function<Tensors(const OpGradCall&)> backward;

  // The definition as plain scalar code, equal to the kernels in every bit; for f64 inputs the only
  // implementation.
  std::function<Tensors(const OpCall&)> forward_reference;
  std::function<Tensors(const OpGradCall&)> backward_reference;

  // Bound of |got - exact| per element of outputs[0], as f64, from sizes, formats and magnitudes of the
  // inputs.
  std::function<Tensor(const OpCall&)> error_bound;

  // Products only: element `element` (row-major) of the result, or of the gradient of an input, as a dot product;
  // none where that gradient is no product.
  std::function<Dot(const OpCall&, int64_t element)> forward_dot = {};
  std::function<std::optional<Dot>(const OpGradCall&, size_t input, int64_t element)> backward_dot = {};

  std::function<std::vector<Sample>(Fill)> samples;
};

// Checks and evaluates one call on the kernels, or on the reference where an input is f64.
Tensors evaluate_forward(const OpDef& op, const OpCall& call);
Tensors evaluate_backward(const OpDef& op, const OpGradCall& call);

// Registers an op: `const RegisteredOp kRelu{"relu", {.numeric_class = NumericClass::kAsIs, ...}};`
class RegisteredOp {
 public:
  RegisteredOp(const std::string& name, OpDef def);
  const OpDef& operator*() const { return Registry<OpDef>::instance().find(name_); }

 private:
  std::string name_;
};

}  // namespace faultline
