#include <catch2/catch.hpp>

#include "engine/autograd/gradient_check.h"
#include "tests/contract/contract.h"

namespace faultline {
namespace {

// A gradient check evaluates the reference once per element: small samples are enough.
constexpr int64_t kMostElements = 2500, kMostOutputs = 300;

template <class Check>
void for_each_small_sample(Check check) {
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    DYNAMIC_SECTION(name) {
      int checked = 0;
      for (const Sample& sample : op.samples(Fill::kReals)) {
        const OpCall call{sample.inputs, sample.attributes, {}};
        if (largest_input(call) > kMostElements) continue;
        INFO("sample '" << sample.name << "'\nrun this op alone with --test_arg=-c --test_arg=" << name);
        checked += check(op, call);
      }
      CHECK(checked > 0);
    }
  }
}

}  // namespace

TEST_CASE("contract: every f64 gradient equals central differences of the forward") {
  for_each_small_sample([](const OpDef& op, const OpCall& call) {
    const OpCall wide = in_f64(call);
    const Tensor y = op.forward_reference(wide)[0];
    if (y.dtype() != Dtype::kF64) return false;  // A cast to a narrow format has steps, not a slope.
    CHECK(check_gradient_f64(op, wide, grad_output_for(y)).value_or("") == "");
    return true;
  });
}

TEST_CASE("contract: every f32 gradient is within its bound of the f64 gradient") {
  for_each_small_sample([](const OpDef& op, const OpCall& call) {
    const Tensor y = op.forward_reference(call)[0];
    if (y.size() > kMostOutputs || y.dtype() != Dtype::kF32) return false;
    CHECK(check_gradient_f32(op, call, grad_output_for(y)).value_or("") == "");
    return true;
  });
}

}  // namespace faultline
