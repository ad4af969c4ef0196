#include <catch2/catch.hpp>
#include <cmath>

#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/mma/unit.h"
#include "engine/ops/samples.h"
#include "tests/contract/contract.h"
#include "tests/contract/shown_pieces.h"

namespace faultline {
namespace {

// Evaluates a call forward and backward while its pieces are looked at.
Tensors watched(const OpDef& op, const OpCall& call) {
  Tensors results = op.forward(call);
  const Tensor dy = grad_output_for(results[0]);
  for (const Tensor& grad : op.backward({call, results, dy, all_wanted(call)})) results.push_back(grad);
  return results;
}

void check_pieces(const ContractCall& contract, const OpCall& call) {
  const Tensors expected = watched(contract.op, call);
  const ShownPieces shown;
  auto wrong = difference(watched(contract.op, call), expected);
  if (!wrong) wrong = shown.difference();
  if (wrong) FAIL_CHECK(contract.describe() << ": " << *wrong << reproduce(contract));
}

bool takes(const std::string& unit, const OpCall& call) {
  try {
    Arithmetic arithmetic;
    arithmetic.unit = unit;
    check_unit(arithmetic, unit_input(arithmetic, call.inputs[0].dtype()), "test");
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Ops of large tensors, and which outputs and gradients must be shown to the last element.
struct Whole {
  const char* op;
  Tensors inputs;
  Attributes attributes;
  std::vector<size_t> outputs, gradients;
};

std::vector<Whole> whole_results(Dtype dtype) {
  const auto reals = [&](const Shape& shape, int salt) {
    return sample_tensor(shape, Fill::kReals, salt).to(dtype);
  };
  const auto f32 = [](const Shape& shape, int salt) { return sample_tensor(shape, Fill::kReals, salt); };
  const Tensor image = reals({8, 64, 32, 32}, 1), rows = reals({512, 1024}, 2);
  const Tensor ones = Tensor::full({64}, Dtype::kF32, 1), statistics = ones.clone();
  const Attributes window = {{"kernel", std::vector<int64_t>{2, 2}},
                             {"stride", std::vector<int64_t>{2, 2}},
                             {"padding", std::vector<int64_t>{0, 0}}};
  Tensor labels = Tensor::zeros({512}, Dtype::kI32);
  return {
      {"conv2d",
       {image, reals({64, 64, 3, 3}, 3), {}},
       {{"stride", std::vector<int64_t>{1, 1}}, {"padding", std::vector<int64_t>{1, 1}}},
       {0},
       {0}},
      {"conv2d",
       {reals({8, 16, 33, 47}, 1), reals({16, 16, 3, 3}, 3), reals({16}, 4)},
       {{"stride", std::vector<int64_t>{1, 1}}, {"padding", std::vector<int64_t>{0, 0}}},
       {0},
       {0}},
      {"conv2d",
       {reals({2, 16, 96, 128}, 1), reals({16, 16, 3, 3}, 3), reals({16}, 4)},
       {{"stride", std::vector<int64_t>{1, 1}}, {"padding", std::vector<int64_t>{1, 1}}},
       {0},
       {0}},
      {"batch_norm",
       {image, ones, ones, statistics, statistics, reals({8, 64, 32, 32}, 5)},
       {{"momentum", 0.1}, {"eps", 1e-5}, {"relu", int64_t{1}}, {"training", int64_t{1}}},
       {0},
       {0, 5}},
      {"linear", {rows, reals({768, 1024}, 6), reals({768}, 7)}, {}, {0}, {0}},
      {"matmul", {reals({4, 512, 64}, 8), reals({4, 64, 64}, 9)}, {}, {0}, {0}},
      {"add", {image, image}, {}, {0}, {}},
      {"relu", {image}, {}, {0}, {0}},
      {"accumulate", {image, image, image}, {}, {0}, {}},
      {"cast", {f32({8, 64, 32, 32}, 1)}, {{"to", std::string("bf16")}}, {0}, {0}},
      {"layer_norm", {rows, f32({1024}, 4), f32({1024}, 5)}, {{"eps", 1e-5}}, {0}, {0}},
      {"softmax", {rows}, {{"axis", int64_t{1}}}, {0}, {0}},
      {"log_softmax", {rows}, {{"axis", int64_t{1}}}, {0}, {0}},
      {"cross_entropy", {rows, labels}, {}, {1}, {0}},
      {"max_pool2d", {image}, window, {0}, {0}},
      {"avg_pool2d", {image}, window, {0}, {0}},
      {"dropout", {image}, {{"p", 0.5}, {"seed", int64_t{1}}, {"stream", std::string("a")}}, {0}, {0}},
  };
}

}  // namespace

TEST_CASE("contract: what an op shows of a result as it writes it is what the result holds") {
  const RestoreExecution restore;
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    DYNAMIC_SECTION(name) {
      for_each_call(op, Fill::kReals, [](const ContractCall& contract) {
        for (const std::string& set : instruction_sets()) {
          set_instruction_set(set);
          for (const int count : {1, 3}) {
            set_threads(count);
            INFO(set << ", " << count << " threads");
            check_pieces(contract, contract.call);
            if (largest_input(contract.call) <= 4096)
              check_pieces(contract, with_special_values(contract.call));
          }
        }
      });
    }
  }
  SUCCEED();
}

TEST_CASE("contract: what a product shows on any unit is what it holds") {
  const RestoreExecution restore;
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    if (op.numeric_class != NumericClass::kProduct) continue;
    for (const auto& [unit, model] : Registry<Unit>::instance().entries()) {
      DYNAMIC_SECTION(name << " on " << unit) {
        for_each_call(op, Fill::kReals, [&](const ContractCall& contract) {
          if (contract.call.arithmetic.tf32 || largest_input(contract.call) > 4096) return;
          OpCall call = contract.call;
          call.arithmetic.unit = unit;
          if (!takes(unit, call)) return;
          for (const int count : {1, 3}) {
            set_threads(count);
            check_pieces(contract, call);
          }
        });
      }
    }
  }
  SUCCEED();
}

// A convolution of many samples is computed anew, otherwise, where a sum underflows to -0.
TEST_CASE("contract: what a convolution shows is what it holds where products underflow") {
  const RestoreExecution restore;
  const OpDef& op = Registry<OpDef>::instance().find("conv2d");
  for (const int count : {1, 2}) {
    set_threads(count);
    const ShownPieces shown;
    const Tensor y =
        op.forward({{Tensor::full({64, 6, 8, 8}, Dtype::kF32, 1e-30),
                     Tensor::full({4, 6, 5, 5}, Dtype::kF32, -1e-30), Tensor()},
                    {{"stride", std::vector<int64_t>{1, 1}}, {"padding", std::vector<int64_t>{2, 2}}},
                    {}})[0];
    CHECK(std::signbit(y.at(0)));
    CHECK(shown.difference().value_or("") == "");
    CHECK(shown.shown_of(y) == y.size());
  }
}

TEST_CASE("contract: large results are shown to the last element") {
  const RestoreExecution restore;
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
    for (const Whole& whole : whole_results(dtype)) {
      for (const int count : {1, 2}) {
        set_threads(count);
        INFO(whole.op << ", " << name(dtype) << ", " << count << " threads");
        const OpDef& op = Registry<OpDef>::instance().find(whole.op);
        const OpCall call{whole.inputs, whole.attributes, {}};
        const ShownPieces shown;
        const Tensors outputs = op.forward(call);
        const Tensor dy = grad_output_for(outputs[0]);
        const Tensors gradients = op.backward({call, outputs, dy, all_wanted(call)});
        for (const size_t i : whole.outputs) CHECK(shown.shown_of(outputs[i]) == outputs[i].size());
        for (const size_t i : whole.gradients) CHECK(shown.shown_of(gradients[i]) == gradients[i].size());
        CHECK(shown.difference().value_or("") == "");
      }
    }
  }
}

}  // namespace faultline
