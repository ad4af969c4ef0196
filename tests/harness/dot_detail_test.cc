#include "harness/dot_detail.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "engine/mma/unit.h"
#include "engine/numerics/ulp.h"
#include "harness/compare.h"
#include "harness/explain.h"
#include "harness/parting.h"
#include "harness/recipes/recipes.h"
#include "harness/report/dot_picture.h"
#include "tests/harness/small_runs.h"
#include "tests/support/skip.h"

namespace faultline::harness {
namespace {

using Catch::Matchers::Contains;

// Wide enough that the last bits of some sum show after the rounding to 16 bits.
Recipe on_unit(const std::string& format, const std::string& unit) {
  return small({{"precision.compute", format},
                {"precision.unit", unit},
                {"data.batch", "32"},
                {"model.hidden", "96"}});
}

const UnitResult& result_of(const DotDetail& dot, const std::string& unit) {
  const auto found =
      std::find_if(dot.units.begin(), dot.units.end(), [&](const UnitResult& u) { return u.unit == unit; });
  REQUIRE(found != dot.units.end());
  return *found;
}

// The named element of two replays: its operands, and what the plain models give for that dot product alone.
void check_plain_models(const Recipe& a, const Recipe& b, const Verdict& verdict) {
  REQUIRE(verdict.first);
  REQUIRE(verdict.first->dot);
  const int64_t step = verdict.first->step;
  const std::vector<Recorded> replay_a = replay(a, step, step), replay_b = replay(b, step, step);
  const std::optional<Parting> parting = first_parting(replay_a, replay_b);
  REQUIRE(parting);
  CHECK(parting->a->output_name(parting->output) == verdict.first->place);
  const Recorded& recorded = *parting->a;
  int64_t element = 0;
  for (size_t axis = 0; axis < verdict.first->index.size(); ++axis) {
    element = element * recorded.outputs[parting->output].shape()[axis] + verdict.first->index[axis];
  }
  const bool forward = !recorded.grad_output.defined();
  Dot dot = forward ? recorded.op->forward_dot(recorded.call, element)
                    : *recorded.op->backward_dot(
                          {recorded.call, recorded.forward_outputs, recorded.grad_output, recorded.wanted},
                          parting->output, element);
  CHECK(verdict.first->dot->k == static_cast<int64_t>(dot.a.size()));
  const Dtype out = recorded.outputs[parting->output].dtype();
  const UnitFormat format{unit_input(recorded.call.arithmetic, recorded.call.inputs[0].dtype()), Dtype::kF32};
  if (format.input == Dtype::kTf32) {
    for (auto* operand : {&dot.a, &dot.b}) {
      for (float& value : *operand) value = tf32_from_f32(value, recorded.call.arithmetic.tf32_rounding);
    }
  }
  for (const auto& [unit, bits] : {std::pair(a.text("precision.unit"), verdict.first->bits_a),
                                   std::pair(b.text("precision.unit"), verdict.first->bits_b)}) {
    const float sum = Registry<Unit>::instance().find(unit).dot(format, dot.a.data(), dot.b.data(),
                                                                static_cast<int64_t>(dot.a.size()), 0.0f);
    const double value = round_to(dot.has_bias ? sum + dot.bias : sum, out);
    CAPTURE(unit, value);
    CHECK(bits_hex(bits_of(value, out), out) == bits);
  }
}

TEST_CASE("dot: where two chips part, both values are the plain models' for that dot product alone") {
  Runs runs;
  for (const auto& [format, unit_a, unit_b] : {std::tuple("f16", "a100", "h100"),
                                               {"f16", "v100", "a100"},
                                               {"tf32", "a100", "h100"},
                                               {"tf32", "a100", "b200"}}) {
    const Recipe a = on_unit(format, unit_a), b = on_unit(format, unit_b);
    const Verdict verdict = compare(runs.ledger(a), runs.ledger(b));
    CAPTURE(format, unit_a, unit_b, verdict.sentence);
    REQUIRE_FALSE(verdict.bitwise);
    CHECK(verdict.cause == "matrix unit");
    check_plain_models(a, b, verdict);
    const DotDetail& dot = *verdict.first->dot;
    CHECK(dot.units[0].unit == unit_a);
    CHECK(dot.units[0].bits == verdict.first->bits_a);
    CHECK(dot.units[1].unit == unit_b);
    CHECK(dot.units[1].bits == verdict.first->bits_b);
    CHECK_THAT(verdict.sentence, Contains(std::string(unit_a) + " adds in " + dot.units[0].order));
    CHECK_THAT(verdict_text(verdict), Contains("on each unit") && Contains("exact"));
  }
}

TEST_CASE("dot: the default model on real data, a100 beside h100") {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    skip("no Fashion-MNIST: install dataset-fashion-mnist");
  }
  Runs runs;
  const Recipe a = with(find_recipe("f16-dynamic"), {{"precision.unit", "a100"}});
  const Recipe b = with(find_recipe("f16-dynamic"), {{"precision.unit", "h100"}});
  const Verdict verdict = compare(runs.interrupted(a, 2), runs.interrupted(b, 2));
  CAPTURE(verdict.sentence);
  check_plain_models(a, b, verdict);
}

TEST_CASE("dot: the window is where the chains part, and each unit's steps end in its result") {
  Runs runs;
  const Verdict verdict = compare(runs.ledger(on_unit("f16", "a100")), runs.ledger(on_unit("f16", "h100")));
  REQUIRE(verdict.first);
  REQUIRE(verdict.first->dot);
  const DotDetail& dot = *verdict.first->dot;
  REQUIRE(dot.window.size() == dot.units.size());
  CHECK(dot.window[0].unit == "a100");
  CHECK(dot.window[0].steps.size() == 2);
  CHECK(dot.window[1].steps.size() == 1);
  CHECK(dot.window[0].result != dot.window[1].result);
  for (const UnitWindow& window : dot.window) {
    CAPTURE(window.unit);
    if (window.steps.empty()) continue;
    CHECK(window.steps.back().result == window.result);
    CHECK(window.steps.front().accumulator == dot.window_start);
    for (const DotStep& step : window.steps) {
      double sum = step.accumulator_kept;
      for (size_t i = 0; i < step.kept.size(); ++i) {
        sum += step.kept[i];
        CHECK(std::fabs(step.kept[i]) <= std::fabs(step.products[i]));
        CHECK(std::fabs(step.products[i] - step.kept[i]) < std::ldexp(1.0, step.quantum));
      }
      CHECK(sum == step.sum);
    }
  }
  for (size_t i = 0; i < dot.window[1].steps[0].products.size(); ++i) {
    const DotStep& half = dot.window[0].steps[i / 8];
    CHECK(half.products[i % 8] == dot.window[1].steps[0].products[i]);
  }
}

TEST_CASE("dot: the picture names the units, and marks a cut exactly where a term loses bits") {
  Runs runs;
  const Verdict verdict = compare(runs.ledger(on_unit("f16", "a100")), runs.ledger(on_unit("f16", "h100")));
  REQUIRE(verdict.first);
  REQUIRE(verdict.first->dot);
  DotDetail dot = *verdict.first->dot;
  CHECK_THAT(dot_picture(dot), Contains("a100: 2 steps") && Contains("h100: 1 step,") &&
                                   Contains("the first after which the two sums differ"));
  for (UnitWindow& window : dot.window) {
    bool cuts = false;
    for (const DotStep& step : window.steps) cuts |= step.products != step.kept;
    DotDetail alone = dot;
    alone.window = {window};
    const bool marked = dot_picture(alone).find("<path class=\"cut\"") != std::string::npos;
    CAPTURE(window.unit);
    CHECK(marked == cuts);
  }
  dot.window.clear();
  CHECK_THAT(dot_picture(dot), Contains("v100") && !Contains("<svg"));
}

TEST_CASE("dot: a split product names its unit once and has no window; a bias gradient has no dot product") {
  Runs runs;
  const Recipe recipe = small({{"data.batch", "16"}});
  const Verdict split = compare(runs.ledger(recipe), runs.ledger(with(recipe, {{"precision.split_k", "4"}})));
  REQUIRE(split.first);
  REQUIRE(split.first->dot);
  CHECK(split.first->dot->units.size() == 1);
  CHECK(split.first->dot->window.empty());
  CHECK(result_of(*split.first->dot, "fma").bits == split.first->bits_a);
}

}  // namespace
}  // namespace faultline::harness
