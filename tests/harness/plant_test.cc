#include <catch2/catch.hpp>
#include <random>

#include "harness/compare.h"
#include "tests/harness/small_runs.h"

namespace faultline::harness {
namespace {

constexpr int kPlantings = 200;

struct Place {
  std::string parameter;
  Shape shape;
};

// What the planted element holds on both sides; one side gets one ulp more.
struct Kind {
  const char* name;
  const char* value;      // "": its own
  const char* parameter;  // "": any
};
const Kind kKinds[] = {
    {"own value", "", ""},
    {"own value of a bias", "", "fc1.bias"},
    {"zero", "0", ""},
    {"negative zero", "-0.0", ""},
    {"largest finite", "3.4028234663852886e38", ""},
    {"smallest subnormal", "1.401298464324817e-45", ""},
    {"dead unit", "-1e30", "fc1.bias"},  // the unit's relu is shut: no output shows the ulp
};

TEST_CASE("compare: 200 planted ulps are each found in their step, parameter and element") {
  const Recipe base = small({{"train.steps", "4"}, {"ledger.snapshots", "0"}});
  const std::vector<Place> places = {
      {"fc1.weight", {6, 784}}, {"fc1.bias", {6}}, {"fc2.weight", {10, 6}}, {"fc2.bias", {10}}};
  const SettingTexts kFormats[] = {
      {{"precision.compute", "f32"}},
      {{"precision.compute", "bf16"}},
      {{"precision.compute", "f16"}, {"amp.scaler", "dynamic"}, {"amp.init_scale", "1024"}}};
  std::mt19937_64 random(7);
  for (int i = 0; i < kPlantings; ++i) {
    const Kind& kind = kKinds[i % std::size(kKinds)];
    const auto at = std::find_if(places.begin(), places.end(),
                                 [&](const Place& p) { return p.parameter == kind.parameter; });
    const Place& place = at == places.end() ? places[random() % places.size()] : *at;
    const int64_t element =
        static_cast<int64_t>(random() % static_cast<uint64_t>(element_count(place.shape)));
    const int64_t step = static_cast<int64_t>(random() % 4);
    const Recipe a = with(with(base, kFormats[i % 3]), {{"plant.step", std::to_string(step)},
                                                        {"plant.parameter", place.parameter},
                                                        {"plant.element", std::to_string(element)},
                                                        {"plant.value", kind.value},
                                                        {"plant.ulps", "0"}});
    CAPTURE(i, kind.name, place.parameter, element, step);
    Runs runs;
    const Verdict verdict = compare(runs.ledger(a), runs.ledger(with(a, {{"plant.ulps", "1"}})));
    CHECK(verdict.first_differing_step == step);
    REQUIRE(verdict.first);
    CHECK(verdict.first->is_leaf);
    CHECK(verdict.first->place == place.parameter);
    CHECK(verdict.first->step == step);
    CHECK(verdict.first->index == Tensor::zeros(place.shape, Dtype::kF32).unravel(element));
    CHECK(verdict.first->ulp == 1);
    CHECK(verdict.first->differing == 1);
    CHECK(verdict.cause == "1 ulp planted in " + place.parameter);
    if (std::string(kind.name) == "dead unit") CHECK(verdict.final_loss_a == verdict.final_loss_b);
  }
}

}  // namespace
}  // namespace faultline::harness
