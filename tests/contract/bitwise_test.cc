#include <catch2/catch.hpp>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "tests/contract/contract.h"

namespace faultline {
namespace {

// Evaluates on every instruction set and thread count and compares with the reference.
void check_equal_everywhere(const ContractCall& call, const char* what, const Tensors& expected,
                            const std::function<Tensors()>& evaluate) {
  const RestoreExecution restore;
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (const int count : {1, 2, 3, 8}) {
      set_threads(count);
      const auto wrong = difference(evaluate(), expected);
      if (!wrong) continue;
      FAIL_CHECK(what << " of " << call.describe() << ", " << set << ", " << count << " threads: " << *wrong
                      << reproduce(call));
      return;
    }
  }
}

void check_forward(const ContractCall& contract, const char* what, const OpCall& call) {
  check_equal_everywhere(contract, what, contract.op.forward_reference(call),
                         [&] { return contract.op.forward(call); });
}

void check_backward(const ContractCall& contract, const char* what, const OpCall& call) {
  const Tensors outputs = contract.op.forward_reference(call);
  const Tensor dy = grad_output_for(outputs[0]);
  const OpGradCall grad{call, outputs, dy, all_wanted(call)};
  check_equal_everywhere(contract, what, contract.op.backward_reference(grad),
                         [&] { return contract.op.backward(grad); });
}

void for_each_op(const std::function<void(const ContractCall&)>& body) {
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    DYNAMIC_SECTION(name) { for_each_call(op, Fill::kReals, body); }
  }
}

}  // namespace

TEST_CASE("contract: every forward equals its scalar reference in every bit") {
  for_each_op([](const ContractCall& contract) { check_forward(contract, "forward", contract.call); });
  SUCCEED();
}

TEST_CASE("contract: every backward equals its scalar reference in every bit") {
  for_each_op([](const ContractCall& contract) { check_backward(contract, "backward", contract.call); });
  SUCCEED();
}

TEST_CASE("contract: every op equals its reference on infinities, NaN, zeros and subnormals") {
  for_each_op([](const ContractCall& contract) {
    if (largest_input(contract.call) > 4096) return;
    const OpCall special = with_special_values(contract.call);
    check_forward(contract, "forward with special values", special);
    check_backward(contract, "backward with special values", special);
  });
  SUCCEED();
}

TEST_CASE("contract: a view gives every op the same bits as a contiguous tensor") {
  for_each_op([](const ContractCall& contract) {
    if (largest_input(contract.call) > 4096) return;
    const OpCall views = as_views(contract.call);
    const OpDef& op = contract.op;
    const Tensors outputs = op.forward(contract.call);
    const Tensor dy = grad_output_for(outputs[0]);
    const OpGradCall grad{contract.call, outputs, dy, all_wanted(contract.call)};
    const OpGradCall grad_of_views{views, outputs, dy, grad.wanted};
    const auto wrong = difference(op.forward(views), outputs);
    const auto wrong_gradient = difference(op.backward(grad_of_views), op.backward(grad));
    if (wrong) FAIL_CHECK("forward of " << contract.describe() << ": " << *wrong << reproduce(contract));
    if (wrong_gradient)
      FAIL_CHECK("backward of " << contract.describe() << ": " << *wrong_gradient << reproduce(contract));
  });
  SUCCEED();
}

TEST_CASE("contract: no op reads storage that it has not written") {
  for_each_op([](const ContractCall& contract) {
    if (largest_input(contract.call) > 4096) return;
    Tensors results[2];
    for (const int pass : {0, 1}) {
      set_heap_fill(pass == 0 ? 0x00 : 0xff);
      results[pass] = contract.op.forward(contract.call);
      const Tensor dy = grad_output_for(results[pass][0]);
      for (const Tensor& grad :
           contract.op.backward({contract.call, results[pass], dy, all_wanted(contract.call)})) {
        results[pass].push_back(grad);
      }
      set_heap_fill(-1);
    }
    const auto wrong = difference(results[1], results[0]);
    if (wrong) FAIL_CHECK(contract.describe() << ": " << *wrong << reproduce(contract));
  });
  SUCCEED();
}

}  // namespace faultline
