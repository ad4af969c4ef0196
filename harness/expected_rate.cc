#include "harness/expected_rate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>

#include "engine/base/error.h"

namespace faultline::harness {
namespace {

// What a closed form reads: settings, total steps T and steps done t, both without the warm-up.
struct Position {
  const Recipe& recipe;
  double lr;
  int64_t total;
  int64_t t;
};

double constant(const Position& p) { return p.lr; }

// StepLR: lr * gamma^floor(t / step_size).
double step(const Position& p) {
  return p.lr * std::pow(p.recipe.real("schedule.gamma"), p.t / p.recipe.integer("schedule.step_size"));
}

// MultiStepLR: lr * gamma^(number of milestones reached).
double multistep(const Position& p) {
  const auto milestones = p.recipe.integers("schedule.milestones");
  const auto reached =
      std::count_if(milestones.begin(), milestones.end(), [&](int64_t m) { return m <= p.t; });
  return p.lr * std::pow(p.recipe.real("schedule.gamma"), reached);
}

// ExponentialLR: lr * gamma^t.
double exponential(const Position& p) { return p.lr * std::pow(p.recipe.real("schedule.gamma"), p.t); }

// PolynomialLR: lr * (1 - min(t, T) / T)^power.
double polynomial(const Position& p) {
  const double left = 1 - static_cast<double>(std::min(p.t, p.total)) / static_cast<double>(p.total);
  return p.lr * std::pow(left, p.recipe.real("schedule.power"));
}

// CosineAnnealingLR: min + (lr - min) / 2 * (1 + cos(pi * t / T)).
double cosine(const Position& p) {
  const double low = p.recipe.real("schedule.min_lr");
  const double angle = std::numbers::pi * static_cast<double>(p.t) / static_cast<double>(p.total);
  return low + 0.5 * (p.lr - low) * (1 + std::cos(angle));
}

double cosine_between(double from, double to, double share) {
  return to + 0.5 * (from - to) * (1 + std::cos(std::numbers::pi * share));
}

// OneCycleLR, two phases, cosine: lr / div rises to lr until step pct_start * T - 1, then falls to
// lr / div / final_div at step T - 1.
double one_cycle(const Position& p) {
  const double first = p.lr / p.recipe.real("schedule.div_factor");
  const double last = first / p.recipe.real("schedule.final_div_factor");
  const double peak = p.recipe.real("schedule.pct_start") * static_cast<double>(p.total) - 1;
  const double end = static_cast<double>(p.total) - 1, t = static_cast<double>(p.t);
  return t <= peak ? cosine_between(first, p.lr, t / peak)
                   : cosine_between(p.lr, last, (t - peak) / (end - peak));
}

const std::map<std::string, std::function<double(const Position&)>>& closed_forms() {
  static const std::map<std::string, std::function<double(const Position&)>> kForms = {
      {"constant", constant},     {"step", step},     {"multistep", multistep}, {"exponential", exponential},
      {"polynomial", polynomial}, {"cosine", cosine}, {"one_cycle", one_cycle},
  };
  return kForms;
}

}  // namespace

double expected_rate(const Recipe& recipe, int64_t total_steps, int64_t advances) {
  const auto form = closed_forms().find(recipe.text("schedule.name"));
  if (form == closed_forms().end()) {
    throw Error(ErrorCode::kUnsupported, "expected_rate",
                "no closed form for the schedule '" + recipe.text("schedule.name") +
                    "': add it to harness/expected_rate.cc");
  }
  const int64_t warmup = recipe.integer("schedule.warmup_steps");
  const double lr = recipe.real("schedule.lr");
  const int64_t total = total_steps - warmup;
  if (advances >= warmup) return form->second({recipe, lr, total, advances - warmup});
  // LinearLR: from warmup_start to 1, as a factor of the schedule's first rate.
  const double start = recipe.real("schedule.warmup_start");
  const double share = static_cast<double>(advances) / static_cast<double>(warmup);
  return form->second({recipe, lr, total, 0}) * (start + (1 - start) * share);
}

std::vector<double> expected_rates(const Ledger& ledger) {
  const Json& manifest = ledger.manifest();
  const Recipe recipe = Recipe::from_json(manifest.at("recipe"), ledger.path());
  const auto total = manifest.at("resolved").at("steps").get<int64_t>();
  const bool hold = recipe.text("amp.on_skip") == "hold";
  std::vector<double> rates;
  int64_t advances = 0;
  for (const StepRecord& record : ledger.steps()) {
    rates.push_back(expected_rate(recipe, total, advances));
    if (!(record.skipped && hold)) ++advances;
  }
  return rates;
}

bool rate_differs(double used, double expected) {
  const double larger = std::max({std::abs(used), std::abs(expected), 0x1p-24});
  if (!std::isfinite(larger)) return !(used == expected);
  const double unit = std::ldexp(1.0, std::ilogb(larger) - 23);
  return !(std::abs(used - expected) <= 4 * unit);
}

}  // namespace faultline::harness
