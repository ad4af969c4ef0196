#include "amp/scaler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/registry.h"

namespace faultline::amp {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

ScalerConfig dynamic(double scale, int64_t interval) {
  return {.name = "dynamic", .init_scale = scale, .growth_interval = interval};
}

std::string message_of(const ScalerConfig& config) {
  try {
    make_scaler(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// The overflow flags of 30 steps, and the scale used at each and after the last.
const std::vector<bool> kOverflows = {0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0,
                                      0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0};
const std::vector<double> kScales = {1024, 1024, 1024, 1024, 2048, 2048, 1024, 1024, 1024, 1024, 512,
                                     256,  256,  256,  256,  512,  512,  512,  512,  256,  256,  256,
                                     128,  128,  64,   64,   64,   64,   128,  128,  128};

TEST_CASE("dynamic scaler: follows the schedule of torch.amp.GradScaler") {
  const auto scaler = make_scaler(dynamic(1024, 4));
  ScalerState state = scaler->initial();
  for (size_t step = 0; step < kOverflows.size(); ++step) {
    INFO("step " << step);
    CHECK(state.scale == kScales[step]);
    state = scaler->next(state, kOverflows[step]);
  }
  CHECK(state.scale == kScales.back());
}

TEST_CASE("dynamic scaler: resumed at any step from its state it goes on the same") {
  for (size_t resume = 0; resume <= kOverflows.size(); ++resume) {
    auto scaler = make_scaler(dynamic(1024, 4));
    ScalerState state = scaler->initial();
    for (size_t step = 0; step < kOverflows.size(); ++step) {
      if (step == resume) {
        const ScalerState saved = {state.scale, state.clean_steps};
        scaler = make_scaler(dynamic(1024, 4));
        state = saved;
      }
      CHECK(state.scale == kScales[step]);
      state = scaler->next(state, kOverflows[step]);
    }
    CHECK(state.scale == kScales.back());
  }
}

TEST_CASE("dynamic scaler: defaults are torch's") {
  const auto scaler = make_scaler({.name = "dynamic"});
  ScalerState state = scaler->initial();
  CHECK(state == ScalerState{65536, 0});
  CHECK(scaler->next(state, true) == ScalerState{32768, 0});
  for (int step = 0; step < 1999; ++step) state = scaler->next(state, false);
  CHECK(state == ScalerState{65536, 1999});
  CHECK(scaler->next(state, false) == ScalerState{131072, 0});
  CHECK(scaler->skips_on_overflow());
}

TEST_CASE("dynamic scaler: grows to the largest power of two in f32 and stays there") {
  const auto scaler = make_scaler(dynamic(0x1p126, 1));
  ScalerState state = scaler->next(scaler->initial(), false);
  CHECK(state == ScalerState{0x1p127, 0});
  CHECK(scaler->next(state, false) == state);
  CHECK(make_scaler(dynamic(kLargest, 1))->next({kLargest, 0}, false) == ScalerState{kLargest, 0});
}

TEST_CASE("dynamic scaler: backs off through the subnormals to zero, as torch does") {
  const auto scaler = make_scaler(dynamic(0x1p-148, 1));
  ScalerState state = scaler->next(scaler->initial(), true);
  CHECK(state.scale == 0x1p-149);
  state = scaler->next(state, true);
  CHECK(state.scale == 0);  // 2^-150 lies half way and rounds to even
  CHECK(scaler->next(state, false).scale == 0);
}

TEST_CASE("dynamic scaler: the scale is rounded to f32 once a change") {
  const ScalerConfig config = {.name = "dynamic",
                               .init_scale = 0.1,
                               .growth_factor = 1.1,
                               .backoff_factor = 0.7,
                               .growth_interval = 1};
  const auto scaler = make_scaler(config);
  CHECK(scaler->initial().scale == static_cast<double>(0.1f));
  CHECK(scaler->next({0.1f, 0}, false).scale == static_cast<double>(static_cast<float>(0.1f * 1.1)));
  CHECK(scaler->next({0.1f, 0}, true).scale == static_cast<double>(static_cast<float>(0.1f * 0.7)));
}

TEST_CASE("dynamic scaler: only the step that completes the interval grows the scale") {
  const auto scaler = make_scaler(dynamic(8, 3));
  CHECK(scaler->next({8, 1}, false) == ScalerState{8, 2});
  CHECK(scaler->next({8, 2}, false) == ScalerState{16, 0});
  CHECK(scaler->next({8, 5}, false) ==
        ScalerState{8, 6});  // a state from a longer interval: torch tests equality
}

TEST_CASE("static scaler: keeps its scale, and skips on overflow") {
  const auto scaler = make_scaler({.name = "static", .static_scale = 128});
  CHECK(scaler->initial() == ScalerState{128, 0});
  for (const bool overflow : {false, true}) CHECK(scaler->next({128, 0}, overflow) == ScalerState{128, 0});
  CHECK(scaler->skips_on_overflow());
}

TEST_CASE("no scaler: scale 1, and nothing is skipped") {
  const auto scaler = make_scaler({.name = "none"});
  for (const bool overflow : {false, true})
    CHECK(scaler->next(scaler->initial(), overflow) == ScalerState{1, 0});
  CHECK_FALSE(scaler->skips_on_overflow());
}

TEST_CASE("scalers: every scale is a value of f32") {
  for (const auto& [name, kind] : Registry<ScalerKind>::instance().entries()) {
    const auto scaler =
        make_scaler({.name = name, .static_scale = 0.3, .init_scale = 0.3, .growth_interval = 2});
    ScalerState state = scaler->initial();
    for (int step = 0; step < 50; ++step) {
      CHECK(state.scale == static_cast<double>(static_cast<float>(state.scale)));
      state = scaler->next(state, step % 7 == 3);
    }
  }
}

TEST_CASE("scalers: settings out of range give one line that names them") {
  CHECK(message_of({.name = "dynamc"}).find("did you mean 'dynamic'?") != std::string::npos);
  CHECK(message_of(dynamic(0, 4)) == "dynamic scaler: init_scale = 0 must be positive and finite in f32");
  for (const double scale : {-1.0, 1e39, 1e-60, static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
    CHECK(message_of(dynamic(scale, 4)).find("init_scale") != std::string::npos);
    CHECK(message_of({.name = "static", .static_scale = scale}).find("static_scale") != std::string::npos);
  }
  CHECK(message_of(dynamic(1, 0)) == "dynamic scaler: growth_interval = 0 must be at least 1");
  for (const double factor : {1.0, 0.5, static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
    CHECK(message_of({.name = "dynamic", .growth_factor = factor}).find("growth_factor") !=
          std::string::npos);
  }
  for (const double factor : {1.0, 2.0, 0.0, -0.5, static_cast<double>(NAN)}) {
    CHECK(message_of({.name = "dynamic", .backoff_factor = factor}).find("backoff_factor") !=
          std::string::npos);
  }
}

}  // namespace
}  // namespace faultline::amp
