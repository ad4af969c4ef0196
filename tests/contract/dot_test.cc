// Each element of a product, made alone from its dot product, has the bits of the whole.
#include <catch2/catch.hpp>

#include "engine/mma/unit.h"
#include "engine/ops/product_reference.h"
#include "engine/tensor/digest.h"
#include "tests/contract/contract.h"

namespace faultline {
namespace {

constexpr int64_t kMostElements = 300;

// Elements of a large tensor are taken at even distances.
void for_some_elements(const Tensor& tensor, const std::function<void(int64_t)>& body) {
  const int64_t step = std::max<int64_t>(1, tensor.size() / kMostElements);
  for (int64_t i = 0; i < tensor.size(); i += step) body(i);
}

void check_elements(const Tensor& whole, const OpCall& call, const std::function<Dot(int64_t)>& dot_of) {
  const Dtype stored = call.inputs[0].dtype();
  for_some_elements(whole, [&](int64_t i) {
    const Dot dot = dot_of(i);
    REQUIRE(dot.a.size() == dot.b.size());
    const Tensor alone =
        Tensor::full({}, whole.dtype(), dot_value(dot, stored, whole.dtype(), call.arithmetic));
    const Tensor element = Tensor::full({}, whole.dtype(), whole.at(i));
    INFO("element " << i << ": " << whole.at(i) << " in the whole, " << alone.at(0) << " alone");
    CHECK(digest(alone) == digest(element));
  });
}

void check_call(const OpDef& op, const OpCall& call) {
  const Tensors outputs = op.forward(call);
  check_elements(outputs[0], call, [&](int64_t i) { return op.forward_dot(call, i); });
  const Tensor dy = grad_output_for(outputs[0]);
  const OpGradCall grad{call, outputs, dy, all_wanted(call)};
  const Tensors grads = op.backward(grad);
  for (size_t input = 0; input < grads.size(); ++input) {
    if (!grads[input].defined() || grads[input].size() == 0 || !op.backward_dot(grad, input, 0)) continue;
    INFO("gradient of " << op.input_names[input]);
    check_elements(grads[input], call, [&](int64_t i) { return *op.backward_dot(grad, input, i); });
  }
}

bool takes(const std::string& unit, const OpCall& call) {
  const std::vector<UnitFormat>& formats = Registry<Unit>::instance().find(unit).formats;
  const UnitFormat format{unit_input(call.arithmetic, call.inputs[0].dtype()), call.arithmetic.accumulate};
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

}  // namespace

TEST_CASE("contract: an element of a product is its dot product, on every kind of unit") {
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    if (!op.forward_dot) continue;
    for_each_call(op, Fill::kReals, [&](const ContractCall& contract) {
      if (largest_input(contract.call) > 4096) return;
      for (const char* unit : {"fma", "v100", "h100"}) {
        OpCall call = contract.call;
        call.arithmetic.unit = unit;
        if (!takes(unit, call)) continue;
        for (const int split_k : {1, 3}) {
          call.arithmetic.split_k = split_k;
          INFO(contract.describe() << " on " << unit << ", split_k " << split_k << reproduce(contract));
          check_call(op, call);
        }
      }
    });
  }
}

TEST_CASE("contract: what is no product has no dot product: a bias gradient") {
  const OpDef& op = Registry<OpDef>::instance().find("linear");
  const Sample sample = op.samples(Fill::kReals)[0];
  const OpCall call{sample.inputs, sample.attributes, {}};
  const Tensors outputs = op.forward(call);
  const Tensor dy = grad_output_for(outputs[0]);
  CHECK_FALSE(op.backward_dot({call, outputs, dy, all_wanted(call)}, 2, 0));
}

}  // namespace faultline
