#include "amp/policy.h"

#include <catch2/catch.hpp>

#include "engine/base/error.h"
#include "engine/ops/cast.h"

namespace faultline::amp {
namespace {

// Ops of each class that hand their first input on: only what reaches them matters here.
OpDef passing_op(NumericClass numeric_class) {
  OpDef op;
  op.numeric_class = numeric_class;
  op.input_names = {"x", "w"};
  op.forward = [](const OpCall& call) -> Tensors { return {call.inputs[0]}; };
  op.forward_reference = op.forward;
  op.backward = [](const OpGradCall& grad) -> Tensors {
    Tensors grads;
    for (const bool wanted : grad.wanted) grads.push_back(wanted ? grad.grad_output : Tensor());
    return grads;
  };
  op.backward_reference = op.backward;
  return op;
}

const RegisteredOp kProduct{"test_product", passing_op(NumericClass::kProduct)};
const RegisteredOp kF32{"test_f32", passing_op(NumericClass::kF32)};
const RegisteredOp kAsIs{"test_as_is", passing_op(NumericClass::kAsIs)};

class Log : public Observer {
 public:
  void on_op(const OpEvent& event) override {
    if (event.grad_call) return;
    names.push_back(event.name);
    formats.clear();
    for (const Tensor& input : event.call.inputs) formats.push_back(input.dtype());
    arithmetic = event.call.arithmetic;
  }
  std::vector<std::string> names;
  std::vector<Dtype> formats;  // inputs of the last op
  Arithmetic arithmetic;       // of the last op
};

class Surround {
 public:
  Surround(const Policy& policy) : autocast(policy), previous_(execution()) {
    execution().precision = &autocast;
    execution().observer = &log;
    begin_step(0);
  }
  ~Surround() { execution() = previous_; }

  Autocast autocast;
  Log log;

 private:
  Execution previous_;
};

Variable input(Dtype dtype) { return Variable(Tensor::full({2}, dtype, 1.0 / 3), false, ""); }
Variable parameter() { return Variable(Tensor::full({2}, Dtype::kF32, 1.0 / 3), true, "fc1.weight"); }

TEST_CASE("autocast: a product's inputs are cast to the compute format, one cast op each") {
  for (const Dtype compute : {Dtype::kF16, Dtype::kBf16}) {
    Surround surround({.compute = compute});
    const Scope scope("fc1");
    apply(*kProduct, {input(Dtype::kF32), parameter()});
    CHECK(surround.log.formats == std::vector<Dtype>{compute, compute});
    CHECK(surround.log.names == std::vector<std::string>{"fc1/cast_x", "fc1/cast_w", "fc1"});
  }
}

TEST_CASE("autocast: f32 and tf32 cast nothing, tf32 rounds in the unit") {
  for (const Dtype compute : {Dtype::kF32, Dtype::kTf32}) {
    Surround surround({.compute = compute, .tf32_rounding = Tf32Rounding::kTruncate});
    apply(*kProduct, {input(Dtype::kF32), parameter()});
    CHECK(surround.log.names == std::vector<std::string>{"test_product"});
    CHECK(surround.log.arithmetic.tf32 == (compute == Dtype::kTf32));
    CHECK(surround.log.arithmetic.tf32_rounding == Tf32Rounding::kTruncate);
  }
}

TEST_CASE("autocast: f32 ops get 16-bit inputs widened, other ops get theirs as they are") {
  Surround surround({.compute = Dtype::kF16});
  apply(*kF32, {input(Dtype::kF16), input(Dtype::kF32)});
  CHECK(surround.log.formats == std::vector<Dtype>{Dtype::kF32, Dtype::kF32});
  apply(*kAsIs, {input(Dtype::kF16), input(Dtype::kF32)});
  CHECK(surround.log.formats == std::vector<Dtype>{Dtype::kF16, Dtype::kF32});
}

TEST_CASE("autocast: f64 and integer inputs stay as they are") {
  Surround surround({.compute = Dtype::kBf16});
  for (const Variable& variable :
       surround.autocast.cast(*kProduct, {input(Dtype::kF64), input(Dtype::kI32), {}})) {
    if (variable.defined()) CHECK(variable.value().dtype() != Dtype::kBf16);
  }
}

TEST_CASE("autocast: a parameter is cast once a step, whatever the number of its uses") {
  Surround surround({.compute = Dtype::kF16});
  Variable weight = parameter();
  const Variable x = input(Dtype::kF16);
  for (int use = 0; use < 3; ++use) apply(*kProduct, {x, weight});
  CHECK(surround.log.names ==
        std::vector<std::string>{"cast_w", "test_product", "test_product#2", "test_product#3"});

  weight.set_value(Tensor::full({2}, Dtype::kF32, 5));
  surround.log.names.clear();
  begin_step(1);
  surround.autocast.begin_step();
  const Variable cast = surround.autocast.cast(*kProduct, {x, weight})[1];
  CHECK(cast.value().to_vector() == std::vector<double>{5, 5});
  CHECK(surround.log.names == std::vector<std::string>{"cast_w"});
}

TEST_CASE("autocast: results and inputs are cast at each use") {
  Surround surround({.compute = Dtype::kF16});
  const Variable x = input(Dtype::kF32);
  for (int use = 0; use < 2; ++use) apply(*kProduct, {x, parameter()});
  CHECK(surround.log.names == std::vector<std::string>{"cast_x", "cast_w", "test_product", "cast_x#2",
                                                       "cast_w#2", "test_product#2"});
}

TEST_CASE("autocast: a parameter's gradient is rounded to the compute format, then widened") {
  Surround surround({.compute = Dtype::kF16});
  const Variable weight = parameter();
  const Variable y = apply(*kProduct, {input(Dtype::kF32), weight})[0];
  y.backward(Tensor::full({2}, Dtype::kF16, 3e-6));
  CHECK(weight.grad().dtype() == Dtype::kF32);
  CHECK(weight.grad().at(0) == round_to(3e-6, Dtype::kF16));
}

TEST_CASE("autocast: units and accumulators are for products alone, the order is for every op") {
  const Policy policy = {.compute = Dtype::kF16,
                         .unit = "h100",
                         .accumulate = Dtype::kF16,
                         .k_plan = KPlanRule::kLeaf,
                         .split_k = 4,
                         .split_reduce_in_output = true,
                         .order = Order::kShuffled,
                         .order_seed = 9};
  const Autocast autocast(policy);
  const Arithmetic product = autocast.arithmetic(*kProduct), other = autocast.arithmetic(*kF32);
  CHECK(product == Arithmetic{"h100", false, Tf32Rounding::kRna, Dtype::kF16, KPlanRule::kLeaf, 4, true,
                              Order::kShuffled, 9, 0});
  Arithmetic expected;
  expected.order = Order::kShuffled;
  expected.order_seed = 9;
  CHECK(other == expected);
}

TEST_CASE("autocast: the manifest's rows say type, unit and accumulator of every class") {
  const std::vector<ResolvedOp> rows =
      resolve({.compute = Dtype::kTf32, .unit = "a100", .k_plan = KPlanRule::kLeaf, .split_k = 2});
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].type == "tf32 (rna)");
  CHECK(rows[0].unit == "a100");
  CHECK(rows[0].accumulator == "f32 ordered, split in 2, added in f32, samples in leaves");
  CHECK(rows[1].type == "f32");
  CHECK(rows[1].unit.empty());
}

TEST_CASE("autocast: a policy that cannot be gives one line") {
  CHECK_THROWS_WITH(Autocast({.compute = Dtype::kF64}),
                    "precision policy: products cannot run in f64, choose f32, tf32, bf16 or f16");
  CHECK_THROWS_WITH(Autocast({.compute = Dtype::kI32}), Catch::Contains("cannot run in i32"));
  CHECK_THROWS_WITH(Autocast({.accumulate = Dtype::kBf16}),
                    Catch::Contains("unit fma has no product f32 -> bf16"));
  CHECK_THROWS_WITH(Autocast({.compute = Dtype::kBf16, .accumulate = Dtype::kF16}),
                    Catch::Contains("unit fma has no product bf16 -> f16"));
  CHECK_THROWS_WITH(Autocast({.compute = Dtype::kBf16, .unit = "v100"}),
                    "precision policy: unit v100 has no product bf16 -> f32 (it has f16 -> f32, f16 -> f16)");
  CHECK_THROWS_WITH(Autocast({.unit = "h10"}), Catch::Contains("unknown unit 'h10', did you mean 'h100'?"));
  CHECK_THROWS_WITH(Autocast({.split_k = 0}), Catch::Contains("split_k = 0"));
}

}  // namespace
}  // namespace faultline::amp
