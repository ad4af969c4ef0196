#include <catch2/catch.hpp>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "tests/contract/contract.h"

namespace faultline {
namespace {

// Evaluates on every instruction set and thread count and compares with the reference.
void require_equal_everywhere(const ContractCall& call, const char* phase, const Tensors& expected,
                              const std::function<Tensors()>& evaluate) {
  const RestoreExecution restore;
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (const int count : {1, 2, 3, 8}) {
      set_threads(count);
      const auto wrong = difference(evaluate(), expected);
      if (!wrong) continue;
      FAIL_CHECK(phase << " of " << call.describe() << ", " << set << ", " << count << " threads: " << *wrong
                       << "\nrun this op alone with --test_arg=-c --test_arg=" << call.op.name);
      return;
    }
  }
}

}  // namespace

TEST_CASE("contract: every forward equals its scalar reference in every bit") {
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    DYNAMIC_SECTION(name) {
      for_each_call(op, Fill::kReals, [&](const ContractCall& call) {
        require_equal_everywhere(call, "forward", call.op.forward_reference(call.call),
                                 [&] { return call.op.forward(call.call); });
      });
      SUCCEED();
    }
  }
}

TEST_CASE("contract: every backward equals its scalar reference in every bit") {
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    DYNAMIC_SECTION(name) {
      for_each_call(op, Fill::kReals, [&](const ContractCall& call) {
        const Tensors outputs = call.op.forward_reference(call.call);
        const Tensor dy = grad_output_for(outputs[0]);
        const OpGradCall grad{call.call, outputs, dy, all_wanted(call.call)};
        require_equal_everywhere(call, "backward", call.op.backward_reference(grad),
                                 [&] { return call.op.backward(grad); });
      });
      SUCCEED();
    }
  }
}

}  // namespace faultline
