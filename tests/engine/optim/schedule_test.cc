#include "engine/optim/schedule.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "engine/base/error.h"
#include "engine/base/registry.h"

namespace faultline {
namespace {

using Real = long double;
constexpr Real kPi = 3.14159265358979323846264338327950288L;

// A handful of f64 operations and functions good to an ulp, on values up to 1.
constexpr double kBound = 16 * 0x1p-53;

void check_rates(const ScheduleConfig& config, int64_t steps, const std::function<Real(int64_t)>& expected) {
  const auto schedule = make_schedule(config);
  for (int64_t t = 0; t < steps; ++t) {
    INFO(config.name << " at " << t);
    const Real want = expected(t);
    CHECK(std::fabs(static_cast<double>(schedule->rate(t) - want)) <= kBound * config.lr);
  }
}

std::string message_of(const ScheduleConfig& config) {
  try {
    make_schedule(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("schedule: constant keeps the rate") {
  check_rates({.name = "constant", .lr = 0.3}, 5, [](int64_t) -> Real { return 0.3; });
}

TEST_CASE("schedule: step multiplies by gamma whenever step_size more steps have passed") {
  Real rate = 0.5;
  check_rates({.name = "step", .lr = 0.5, .step_size = 3, .gamma = 0.7}, 40, [&](int64_t t) {
    if (t > 0 && t % 3 == 0) rate *= static_cast<Real>(0.7);
    return rate;
  });
}

TEST_CASE("schedule: multistep multiplies by gamma at each milestone, twice at a doubled one") {
  Real rate = 0.5;
  check_rates({.name = "multistep", .lr = 0.5, .milestones = {2, 5, 5, 9}, .gamma = 0.3}, 15, [&](int64_t t) {
    for (const int64_t milestone : {2, 5, 5, 9}) {
      if (t == milestone) rate *= static_cast<Real>(0.3);
    }
    return rate;
  });
}

TEST_CASE("schedule: exponential multiplies by gamma at each step") {
  Real rate = 0.1;
  check_rates({.name = "exponential", .lr = 0.1, .gamma = 0.95}, 300, [&](int64_t t) {
    if (t > 0) rate *= static_cast<Real>(0.95);
    return rate;
  });
}

TEST_CASE("schedule: polynomial falls to 0 at total_steps and stays there") {
  for (const double power : {1.0, 2.0, 0.5}) {
    check_rates({.name = "polynomial", .lr = 0.2, .total_steps = 50, .power = power}, 60, [&](int64_t t) {
      return t >= 50 ? Real(0)
                     : static_cast<Real>(0.2) * std::pow(Real(50 - t) / 50, static_cast<Real>(power));
    });
  }
}

TEST_CASE("schedule: cosine falls from lr to min_lr along half a period") {
  const ScheduleConfig config = {.name = "cosine", .lr = 0.2, .total_steps = 80, .min_lr = 0.02};
  check_rates(config, 81, [](int64_t t) {
    return static_cast<Real>(0.02) +
           (static_cast<Real>(0.2) - static_cast<Real>(0.02)) * (1 + std::cos(kPi * t / 80)) / 2;
  });
  CHECK(make_schedule(config)->rate(0) == 0.2);
  CHECK(make_schedule(config)->rate(80) == 0.02);
}

TEST_CASE("schedule: one_cycle rises to the largest rate, then falls below the first") {
  const ScheduleConfig config = {.name = "one_cycle", .lr = 0.5, .total_steps = 200};
  const Real first = static_cast<Real>(0.5) / 25, last = first / 10000, top = 59, end = 199;
  check_rates(config, 200, [&](int64_t t) {
    const Real from = t <= 59 ? first : Real(0.5), to = t <= 59 ? Real(0.5) : last;
    const Real share = t <= 59 ? t / top : (t - top) / (end - top);
    const Real half = std::sin(kPi * share / 2);  // (1 - cos x) / 2 = sin^2(x / 2)
    return from + (to - from) * half * half;
  });
  const auto schedule = make_schedule(config);
  CHECK(schedule->rate(59) == 0.5);
  CHECK(schedule->rate(500) == schedule->rate(199));
}

TEST_CASE("schedule: warm-up rises linearly to the first rate of any schedule and then hands over") {
  for (const auto& [name, kind] : Registry<ScheduleKind>::instance().entries()) {
    ScheduleConfig config = {
        .name = name, .lr = 0.4, .total_steps = 100, .milestones = {30}, .warmup_steps = 10};
    ScheduleConfig inner = config;
    inner.warmup_steps = 0;
    inner.total_steps = 90;
    const auto rest = make_schedule(inner);
    check_rates(config, 100, [&](int64_t t) -> Real {
      if (t >= 10) return rest->rate(t - 10);
      // LinearLR's own recursion: rate[t] = rate[t-1] * (1 + (1 - a) / (W a + (t - 1) (1 - a))).
      const Real a = static_cast<Real>(1.0 / 3.0);
      Real factor = a;
      for (int64_t i = 1; i <= t; ++i) factor *= 1 + (1 - a) / (10 * a + (i - 1) * (1 - a));
      return rest->rate(0) * factor;
    });
  }
}

TEST_CASE("schedule: settings out of range give one line that names them") {
  CHECK(message_of({.name = "cosin"}).find("did you mean 'cosine'?") != std::string::npos);
  CHECK(message_of({.lr = -1}) == "schedule: lr = -1 is out of range, it must be from 0 to 1000000000");
  CHECK(message_of({.lr = NAN}).find("lr = nan is out of range") != std::string::npos);
  CHECK(message_of({.name = "step", .step_size = 0}).find("step_size = 0") != std::string::npos);
  CHECK(message_of({.name = "multistep", .milestones = {5, 2}}).find("milestones must rise") !=
        std::string::npos);
  CHECK(message_of({.total_steps = 10, .warmup_steps = 10}).find("leaves none of 10 steps") !=
        std::string::npos);
  CHECK(message_of({.name = "one_cycle", .total_steps = 3}).find("pct_start * total_steps - 1") !=
        std::string::npos);
}

}  // namespace
}  // namespace faultline
