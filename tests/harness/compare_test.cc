#include "harness/compare.h"

#include <catch2/catch.hpp>

#include "harness/explain.h"
#include "harness/growth.h"
#include "tests/harness/small_runs.h"

namespace faultline::harness {
namespace {

using Catch::Matchers::Contains;

SettingTexts plant(int64_t step, const std::string& parameter, const std::string& ulps = "1") {
  return {{"plant.step", std::to_string(step)}, {"plant.parameter", parameter}, {"plant.ulps", ulps}};
}

TEST_CASE("compare: two runs of one recipe are bitwise equal") {
  Runs runs;
  for (const char* detail : {"state", "ops"}) {
    const Recipe recipe = small({{"ledger.detail", detail}});
    const Verdict v = compare(runs.ledger(recipe), runs.ledger(with(recipe, {{"runtime.threads", "2"}})));
    CHECK(v.bitwise);
    CHECK_FALSE(v.first);
    CHECK(v.first_differing_step == -1);
    CHECK(v.largest_weight_difference == 0);
    REQUIRE(v.manifests.size() == 1);
    CHECK(v.manifests[0].path == "recipe/runtime.threads");
    CHECK_THAT(v.sentence, Contains("Bitwise equal: all 6 steps"));
  }
}

TEST_CASE("compare: a difference at the first, a middle and the last step is found there") {
  Runs runs;
  const Recipe recipe = small();
  const Ledger a = runs.ledger(recipe);
  for (const int64_t step : {0, 3, 5}) {
    const Ledger b = runs.ledger(with(recipe, plant(step, "fc2.weight")));
    const Verdict v = compare(a, b);
    CAPTURE(step);
    CHECK_FALSE(v.bitwise);
    CHECK(first_differing_step(a, b) == step);
    REQUIRE(v.first);
    CHECK(v.first->step == step);
    CHECK(v.first->place == "fc2.weight");
    CHECK(v.first->bits_a != v.first->bits_b);
    CHECK_THAT(v.sentence, Contains("1 ulp was planted in fc2.weight"));
    CHECK(v.largest_weight_difference > 0);
  }
}

TEST_CASE("compare: runs that differ in their final state alone differ in the last step's update") {
  Runs runs;
  const Recipe recipe = small({{"train.steps", "1"}});
  const Verdict v =
      compare(runs.ledger(recipe), runs.ledger(with(recipe, {{"optimizer.weight_decay", "0.5"}})));
  CHECK_FALSE(v.bitwise);
  CHECK(v.first_differing_step == 1);
  REQUIRE(v.first);
  CHECK(v.first->step == 0);
  CHECK(v.first->phase == "optimizer");
  CHECK(v.first->inputs_equal);
  CHECK(v.cause == "setting of the op");
  CHECK_THAT(v.sentence, Contains("optimizer.weight_decay 0.0 and 0.5"));
}

TEST_CASE("compare: an op that computes otherwise is named with its element and the nearer side") {
  Runs runs;
  const Recipe recipe = small({{"data.batch", "16"}});
  const Verdict v = compare(runs.ledger(recipe), runs.ledger(with(recipe, {{"precision.split_k", "4"}})));
  REQUIRE(v.first);
  CHECK(v.first->step == 0);
  CHECK(v.first->place == "fc1");
  CHECK(v.first->op == "linear");
  CHECK(v.first->phase == "forward");
  CHECK(v.first->inputs_equal);
  CHECK(v.first->shape == "[16, 6]");
  CHECK(v.first->elements == 96);
  REQUIRE(v.first->exact);
  CHECK(*v.first->exact == Approx(v.first->a));
  CHECK(v.cause == "split-K");
  CHECK_THAT(v.sentence,
             Contains("the output of fc1 (fc1, f32 [16, 6]) differs first: its inputs are equal") &&
                 Contains("precision.split_k 1 and 4") && Contains("nearer to"));
  CHECK_THAT(verdict_text(v), Contains("^") && Contains("exact") && Contains("recipe/precision.split_k"));
}

TEST_CASE("compare: recipes of other formats part in the first thing that they do otherwise") {
  Runs runs;
  const Verdict v = compare(runs.ledger(small()), runs.ledger(small({{"precision.compute", "bf16"}})));
  REQUIRE(v.first);
  CHECK(v.first->step == 0);
  CHECK(v.first->elements == 0);
  CHECK(v.cause == "other operations");
  CHECK_THAT(v.sentence, Contains("precision.compute f32 and bf16"));
}

TEST_CASE("compare: other seeds start from other weights") {
  Runs runs;
  const Verdict v = compare(runs.ledger(small()), runs.ledger(small({{"train.seed", "2"}})));
  CHECK(v.cause == "initial weights");
  CHECK(v.first->place == "fc1.weight");
}

TEST_CASE("compare: runs of different length are equal as far as both go") {
  Runs runs;
  const Recipe recipe = small();
  const Verdict v = compare(runs.ledger(recipe), runs.ledger(with(recipe, {{"train.steps", "9"}})));
  CHECK_FALSE(v.bitwise);
  CHECK(v.first_differing_step == -1);
  CHECK_THAT(v.sentence, Contains("Equal in the 6 steps that both ledgers hold; a holds 6, b holds 9"));
}

TEST_CASE("compare: an interrupted ledger is compared as far as it goes") {
  Runs runs;
  const Recipe recipe = small();
  const Ledger a = runs.ledger(recipe), b = runs.interrupted(recipe, 4);
  REQUIRE_FALSE(b.closed());
  REQUIRE(b.size() == 4);
  CHECK_THAT(compare(a, b).sentence, Contains("Equal in the 4 steps"));
  const Verdict v = compare(runs.ledger(with(recipe, plant(2, "fc1.bias"))), b);
  REQUIRE(v.first);
  CHECK(v.first->step == 2);
  CHECK(v.first->place == "fc1.bias");
  const Ledger all = runs.interrupted(recipe, 6);
  CHECK_FALSE(compare(a, all).bitwise);
  CHECK_THAT(compare(a, all).sentence, Contains("a run did not end"));
}

// Plain descent with lr = weight_decay = 1 forgets the bias of a dead unit in one step: w - (0 + w) = 0.
TEST_CASE("compare: runs that become equal again are reported so, from the step on") {
  Runs runs;
  const Recipe recipe = with(small({{"optimizer.momentum", "0"},
                                    {"optimizer.weight_decay", "1"},
                                    {"schedule.lr", "1"},
                                    {"plant.value", "-1e30"}}),
                             plant(2, "fc1.bias", "0"));
  const Verdict v = compare(runs.ledger(recipe), runs.ledger(with(recipe, {{"plant.ulps", "1"}})));
  REQUIRE(v.first);
  CHECK(v.first->step == 2);
  REQUIRE(v.equal_again_from);
  CHECK(*v.equal_again_from == 3);
  CHECK_THAT(verdict_text(v), Contains("Every step from 3 on is equal again"));
}

TEST_CASE("compare: where the loss scales part, step, gradient and element are named") {
  Runs runs;
  const Recipe recipe =
      small({{"precision.compute", "f16"}, {"amp.scaler", "dynamic"}, {"amp.growth_interval", "2"}});
  const Ledger a = runs.ledger(with(recipe, {{"amp.init_scale", "1024"}, {"amp.growth_factor", "65536"}}));
  const Ledger b = runs.ledger(with(recipe, {{"amp.init_scale", "1024"}}));
  const Verdict v = compare(a, b);
  REQUIRE(v.schedule);
  CHECK(v.schedule->step == 2);
  CHECK(v.schedule->scale_a == 1024.0 * 65536);
  CHECK(v.schedule->scale_b == 2048.0);
  CHECK(v.schedule->skipped_a);
  CHECK(v.schedule->gradient == a.steps()[2].first_nonfinite);
  CHECK(v.schedule->element == a.steps()[2].nonfinite_element);
  CHECK(v.cause == "loss scale");
  CHECK_THAT(verdict_text(v), Contains("The loss scales part at step 2") && Contains("was not finite"));
}

// A copy of a ledger in which the leaf of one step has another digest, consistent in itself.
Ledger altered(const Ledger& ledger, int64_t step, const std::string& entry, const std::string& path) {
  LedgerWriter writer(path, ledger.manifest());
  for (int64_t s = 0; s < ledger.size(); ++s) {
    StepRecord record = ledger.step(s);
    for (Entry& e : record.entries) {
      if (s == step && e.name == entry) e.digest = digest_text("another");
    }
    writer.add(record);
  }
  writer.close(*ledger.result(), ledger.draws(), ledger.final_state());
  return Ledger::open(path);
}

TEST_CASE("compare: a ledger that its own replay contradicts is an answer too") {
  Runs runs;
  const std::string path = runs.path(small());
  const Ledger a = Ledger::open(path);
  const Ledger b = altered(a, 3, "leaf/fc1.bias", path + ".altered");
  const Verdict v = compare(a, b);
  CHECK(v.first_differing_step == 3);
  CHECK_FALSE(v.first);
  CHECK(v.unreplayed == "run b at step 3, leaf/fc1.bias");
  CHECK(v.cause == "result not reproducible");
  CHECK_THAT(v.sentence, Contains("something that the manifest does not record decides the result"));
}

TEST_CASE("compare: a verdict survives JSON, values that are not finite included") {
  Runs runs;
  const Recipe recipe = small({{"plant.value", "3.4028234663852886e38"}});
  Verdict v = compare(runs.ledger(with(recipe, plant(1, "fc1.bias", "0"))),
                      runs.ledger(with(recipe, plant(1, "fc1.bias"))));
  v.schedule = ScheduleParting{4, 2, 1, "fc1.weight", 7, true, false};
  v.equal_again_from = 5;
  v.final_loss_a = std::numeric_limits<double>::infinity();
  const Json json = to_json(v);
  CHECK(to_json(verdict_from_json(Json::parse(json.dump()))) == json);
}

TEST_CASE("growth: starts with the planted element and covers every common snapshot and parameter") {
  Runs runs;
  const Recipe recipe = small();
  const Ledger a = runs.ledger(recipe), b = runs.ledger(with(recipe, plant(0, "fc2.weight")));
  const std::vector<GrowthPoint> points = growth(a, b);
  CHECK(points.size() == 4 * a.snapshot_steps().size());
  double last = 0;
  for (const GrowthPoint& p : points) {
    if (p.step == a.snapshot_steps().back()) last = std::max(last, p.distance);
  }
  CHECK(last == largest_weight_difference(a, b));
  for (const GrowthPoint& p : growth(a, a)) CHECK(p.distance == 0);
}

}  // namespace
}  // namespace faultline::harness
