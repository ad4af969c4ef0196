#include <algorithm>
#include <catch2/catch.hpp>

#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "tests/contract/contract.h"

namespace faultline {
namespace {

constexpr int64_t kSeveralThreads = 65536;

const std::map<std::string, OpDef>& ops() { return Registry<OpDef>::instance().entries(); }

}  // namespace

TEST_CASE("contract: every op fills in its whole definition") {
  for (const auto& [name, op] : ops()) {
    INFO(name);
    CHECK(op.name == name);
    CHECK_FALSE(op.input_names.empty());
    CHECK(op.check);
    CHECK(op.forward);
    CHECK(op.backward);
    CHECK(op.forward_reference);
    CHECK(op.backward_reference);
    CHECK(op.error_bound);
    CHECK(bool(op.forward_dot) == (op.numeric_class == NumericClass::kProduct));
    CHECK(bool(op.backward_dot) == (op.numeric_class == NumericClass::kProduct));
    REQUIRE(op.samples);
    for (const Fill fill : {Fill::kIntegers, Fill::kReals}) CHECK(op.samples(fill).size() >= 3);
  }
}

TEST_CASE("contract: every sample passes the op's own check and is in f32") {
  for (const auto& [name, op] : ops()) {
    for (const Fill fill : {Fill::kIntegers, Fill::kReals}) {
      for (const Sample& sample : op.samples(fill)) {
        INFO(name << ", sample '" << sample.name << "'");
        CHECK_NOTHROW(op.check({sample.inputs, sample.attributes, {}}));
        for (const Tensor& input : sample.inputs) {
          CHECK((!input.defined() || input.dtype() == Dtype::kF32 || input.dtype() == Dtype::kI32));
        }
      }
    }
  }
}

TEST_CASE("contract: an op with a numeric class refuses integers in place of floats") {
  for (const auto& [name, op] : ops()) {
    if (op.numeric_class == NumericClass::kAsIs) continue;
    const Sample sample = op.samples(Fill::kReals)[0];
    OpCall call{sample.inputs, sample.attributes, {}};
    for (Tensor& input : call.inputs) input = Tensor::zeros(input.shape(), Dtype::kI32);
    INFO(name);
    CHECK_THROWS_AS(op.check(call), Error);
  }
}

TEST_CASE("contract: a backward gives exactly the gradients that are wanted") {
  for (const auto& [name, op] : ops()) {
    const Sample sample = op.samples(Fill::kReals)[1];
    const OpCall call{sample.inputs, sample.attributes, {}};
    const Tensors outputs = op.forward(call);
    const Tensor dy = grad_output_for(outputs[0]);
    const std::vector<bool> all = all_wanted(call);
    const Tensors full = op.backward({call, outputs, dy, all});
    INFO(name << ", sample '" << sample.name << "'");
    REQUIRE(full.size() == call.inputs.size());
    for (size_t k = 0; k < all.size(); ++k) {
      CHECK(full[k].defined() == all[k]);
      if (!all[k]) continue;
      CHECK(full[k].dtype() == call.inputs[k].dtype());
      CHECK(full[k].shape() == call.inputs[k].shape());
      std::vector<bool> one(all.size());
      one[k] = true;
      for (const auto& backward : {op.backward, op.backward_reference}) {
        const Tensors alone = backward({call, outputs, dy, one});
        Tensors expected(all.size());
        expected[k] = full[k];
        CHECK(difference(alone, expected).value_or("") == "");
      }
    }
  }
}

TEST_CASE("contract: a large sample runs on two threads") {
  const RestoreExecution restore;
  set_threads(2);
  for (const auto& [name, op] : ops()) {
    for (const Sample& sample : op.samples(Fill::kReals)) {
      const OpCall call{sample.inputs, sample.attributes, {}};
      if (largest_input(call) < kSeveralThreads) continue;
      reset_threads_used();
      const Tensors outputs = op.forward(call);
      op.backward({call, outputs, grad_output_for(outputs[0]), all_wanted(call)});
      int most = 0;
      for (const auto& [kernel, used] : threads_used()) most = std::max(most, used);
      INFO(name << ", sample '" << sample.name << "'");
      CHECK(most == 2);
    }
  }
}

}  // namespace faultline
