#include "harness/expected_rate.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/base/file.h"
#include "engine/optim/schedule.h"
#include "harness/verify.h"
#include "tests/harness/small_runs.h"

namespace faultline::harness {
namespace {

using Catch::Matchers::Contains;

double rate(const SettingTexts& settings, int64_t total, int64_t t) {
  return expected_rate(with(Recipe(), settings), total, t);
}

TEST_CASE("expected rate: gives the examples of torch's documentation") {
  const SettingTexts step = {
      {"schedule.name", "step"}, {"schedule.lr", "0.05"}, {"schedule.step_size", "30"}};
  CHECK(rate(step, 100, 29) == Approx(0.05));
  CHECK(rate(step, 100, 30) == Approx(0.005));
  CHECK(rate(step, 100, 60) == Approx(0.0005));
  const SettingTexts multistep = {{"schedule.name", "multistep"}, {"schedule.milestones", "30,80"}};
  CHECK(rate(multistep, 100, 29) == Approx(0.05));
  CHECK(rate(multistep, 100, 30) == Approx(0.005));
  CHECK(rate(multistep, 100, 80) == Approx(0.0005));
  const SettingTexts polynomial = {{"schedule.name", "polynomial"}, {"schedule.lr", "0.001"}};
  const double linear[] = {0.001, 0.00075, 0.0005, 0.00025, 0, 0};
  for (int64_t t = 0; t < 6; ++t) CHECK(rate(polynomial, 4, t) == Approx(linear[t]));
  const SettingTexts warmup = {{"schedule.warmup_steps", "4"}, {"schedule.warmup_start", "0.5"}};
  const double rising[] = {0.025, 0.03125, 0.0375, 0.04375, 0.05, 0.05};
  for (int64_t t = 0; t < 6; ++t) CHECK(rate(warmup, 100, t) == Approx(rising[t]));
}

TEST_CASE("expected rate: smooth schedules pass through their known points") {
  const SettingTexts exponential = {
      {"schedule.name", "exponential"}, {"schedule.lr", "1"}, {"schedule.gamma", "0.5"}};
  CHECK(rate(exponential, 100, 10) == 0x1p-10);
  const SettingTexts cosine = {
      {"schedule.name", "cosine"}, {"schedule.lr", "0.3"}, {"schedule.min_lr", "0.1"}};
  CHECK(rate(cosine, 60, 0) == Approx(0.3));
  CHECK(rate(cosine, 60, 20) == Approx(0.25));
  CHECK(rate(cosine, 60, 30) == Approx(0.2));
  CHECK(rate(cosine, 60, 60) == Approx(0.1));
  const SettingTexts one_cycle = {{"schedule.name", "one_cycle"}, {"schedule.lr", "1"}};
  CHECK(rate(one_cycle, 100, 0) == Approx(0.04));
  CHECK(rate(one_cycle, 100, 29) == Approx(1));
  CHECK(rate(one_cycle, 100, 64) == Approx(0.500002));
  CHECK(rate(one_cycle, 100, 99) == Approx(4e-6));
}

TEST_CASE("expected rate: four units of f32 are allowed, one step of a schedule is not") {
  CHECK_FALSE(rate_differs(0.05, 0.05 * (1 + 0x1p-23)));
  CHECK(rate_differs(0.05, 0.05 * (1 + 0x1p-20)));
  CHECK(rate_differs(NAN, 0.05));
  CHECK_FALSE(rate_differs(0, 1e-17));
}

TEST_CASE("expected rate: every schedule of the registry gives it, at every step, with and without warm-up") {
  for (const std::string& name : Registry<ScheduleKind>::instance().names()) {
    for (const char* warmup : {"0", "1", "17"}) {
      const Recipe recipe = small({{"schedule.name", name},
                                   {"schedule.warmup_steps", warmup},
                                   {"schedule.milestones", "5,30,31"},
                                   {"schedule.step_size", "7"},
                                   {"schedule.min_lr", "0.001"},
                                   {"schedule.power", "1.7"},
                                   {"schedule.gamma", "0.9"},
                                   {"train.steps", "100"},
                                   {"ledger.detail", "off"}});
      Trainer trainer(recipe);
      for (int64_t t = 0; t < 100; ++t) {
        const StepRecord record = trainer.step();
        CAPTURE(name, warmup, t, record.lr);
        CHECK_FALSE(rate_differs(record.lr, expected_rate(recipe, 100, t)));
      }
    }
  }
}

TEST_CASE("expected rate: the schedule waits for skipped steps if the recipe says so") {
  Runs runs;
  const Recipe recipe = small({{"precision.compute", "f16"},
                               {"amp.scaler", "dynamic"},
                               {"amp.init_scale", "1e30"},
                               {"schedule.name", "exponential"},
                               {"train.steps", "12"}});
  for (const char* on_skip : {"hold", "advance"}) {
    const Ledger ledger = runs.ledger(with(recipe, {{"amp.on_skip", on_skip}}));
    REQUIRE(ledger.steps()[0].skipped);
    CHECK(verify(ledger, 11).empty());
  }
}

// A copy of a ledger whose steps used the rate of the step after them, consistent in itself.
Ledger with_rates_off_by_one(const Ledger& ledger, const std::string& path) {
  LedgerWriter writer(path, ledger.manifest());
  for (int64_t s = 0; s < ledger.size(); ++s) {
    StepRecord record = ledger.step(s);
    record.lr = ledger.step(std::min(s + 1, ledger.size() - 1)).lr;
    writer.add(record);
  }
  writer.close(*ledger.result(), ledger.draws(), ledger.final_state());
  return Ledger::open(path);
}

TEST_CASE("expected rate: a schedule that is one step ahead is found in every step where that shows") {
  Runs runs;
  const Recipe recipe = small({{"schedule.name", "cosine"}, {"schedule.warmup_steps", "2"}});
  const Ledger ledger = runs.ledger(recipe);
  CHECK(verify(ledger, 0).empty());
  const Ledger shifted = with_rates_off_by_one(ledger, runs.path(recipe) + ".shifted");
  const std::vector<double> expected = expected_rates(shifted);
  const std::vector<LedgerStep> steps = shifted.steps();
  for (size_t s = 0; s + 1 < steps.size(); ++s) CHECK(rate_differs(steps[s].lr, expected[s]));
  CHECK_FALSE(rate_differs(steps.back().lr, expected.back()));
  const std::vector<std::string> findings = verify(shifted, 0);
  REQUIRE(findings.size() == 6);  // five rates and the digest of step 0
  CHECK_THAT(findings[0], Contains("step 0: the rate used was"));
}

TEST_CASE("expected rate: schedule.csv shows the rate used beside the expected one") {
  Runs runs;
  const std::string path = runs.path(small({{"schedule.name", "step"}, {"schedule.step_size", "2"}}));
  const std::string csv = read_file(path.substr(0, path.rfind('/') + 1) + kScheduleFile);
  CHECK_THAT(
      csv, Contains("step,lr,lr_expected,scale,overflow,skipped,first_nonfinite,loss\n0,0.05,0.05,1,0,0,,"));
}

}  // namespace
}  // namespace faultline::harness
