// The fused dot product on vectors against the plain model, category by category with minimum counts.
#include "engine/mma/fused_dot_product.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/mma/unit.h"
#include "engine/numerics/ulp.h"

namespace faultline {
namespace {

constexpr int kRounds = 14;
constexpr int64_t kM = 25, kN = 41;  // no multiples of what registers hold

// How often each thing happened among the outputs that were compared.
struct Counts {
  int64_t outputs = 0, cut = 0, cancelled = 0, overflowed = 0, at_floor = 0, subnormal = 0, long_chains = 0;
  int64_t vanished = 0;  // negative sums
};

// Values of one format whose exponent fields lie in a range.
class Values {
 public:
  Values(Dtype format, uint32_t seed)
      : format_(format), fraction_bits_(info(format).fraction_bits), random_(seed) {}

  int bias() const { return 1 - smallest_exponent(format_); }
  int last_field() const { return (1 << info(format_).exponent_bits) - (info(format_).infinite ? 2 : 1); }

  // Redrawn if it is e4m3's NaN; one in eight is a zero.
  float draw(int lowest_field, int highest_field) {
    std::uniform_int_distribution<int> fields(std::clamp(lowest_field, 0, last_field()),
                                              std::clamp(highest_field, 0, last_field()));
    const float sign = random_() % 2 ? -1.0f : 1.0f;
    if (random_() % 8 == 0) return sign * 0.0f;
    while (true) {
      const int field = fields(random_);
      const int fraction = static_cast<int>(random_() % (1u << fraction_bits_));
      const int significand = field == 0 ? fraction : fraction + (1 << fraction_bits_);
      const double value = std::ldexp(significand, std::max(field, 1) - bias() - fraction_bits_);
      if (value <= largest_finite(format_)) return sign * static_cast<float>(value);
    }
  }

  uint32_t below(uint32_t n) { return random_() % n; }

 private:
  Dtype format_;
  int fraction_bits_;
  std::mt19937 random_;
};

bool is_subnormal(double value, Dtype format) {
  return value != 0 && std::fabs(value) < std::ldexp(1.0, smallest_exponent(format));
}

void count(const StepRule& rule, const float* a, const float* b, int64_t K, Counts& counts) {
  const std::vector<StepTrace> steps = trace_fused_dot(rule, a, b, K, 0.0f);
  bool cut = false, cancelled = false, at_floor = false, finite = true, vanished = false;
  for (const StepTrace& step : steps) {
    double largest = std::fabs(step.accumulator.exact);
    cut |= step.accumulator.kept != step.accumulator.exact;
    for (const StepTrace::Term& term : step.products) {
      cut |= term.kept != term.exact;
      largest = std::max(largest, std::fabs(term.exact));
    }
    finite &= !step.special;
    vanished |= step.sum < 0 && step.result == 0;
    at_floor |= step.exponent == rule.floor && largest > 0;
    cancelled |= largest > 0 && std::fabs(step.sum) < largest / 256;
  }
  bool subnormal = is_subnormal(steps.back().result, rule.accumulate);
  for (int64_t k = 0; k < K; ++k) {
    subnormal |= is_subnormal(a[k], rule.input) || is_subnormal(b[k], rule.input);
  }
  ++counts.outputs;
  counts.cut += cut;
  counts.cancelled += cancelled;
  counts.overflowed += finite && std::isinf(steps.back().result);
  counts.at_floor += at_floor;
  counts.vanished += vanished;
  counts.subnormal += subnormal;
  counts.long_chains += steps.size() >= 3;
}

// Compares every element under every instruction set; returns the number of different ones.
int64_t differences(const StepRule& rule, int64_t M, int64_t N, int64_t K, const std::vector<float>& a,
                    const std::vector<float>& b, Counts* counts = nullptr) {
  std::vector<float> expected(M * N), column(K);
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) column[k] = b[k * N + n];
    for (int64_t m = 0; m < M; ++m) {
      expected[m * N + n] = fused_dot(rule, a.data() + m * K, column.data(), K, 0.0f);
      if (counts) count(rule, a.data() + m * K, column.data(), K, *counts);
    }
  }
  int64_t different = 0;
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    std::vector<float> got(M * N, 1.0f);
    fused_dot_product(rule, M, N, K, a.data(), b.data(), got.data());
    for (int64_t i = 0; i < M * N; ++i) {
      different += std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(expected[i]);
    }
  }
  set_instruction_set("");
  return different;
}

template <class Draw>
std::vector<float> filled(int64_t n, Draw draw) {
  std::vector<float> values(n);
  std::generate(values.begin(), values.end(), draw);
  return values;
}

// Products of operands from one range of exponent fields; K from one term to several steps.
int64_t differences_in_range(const StepRule& rule, int lowest_field, int highest_field, uint32_t seed,
                             int64_t most_steps, Counts& counts) {
  Values values(rule.input, seed);
  const int64_t K = 1 + values.below(static_cast<uint32_t>(most_steps * rule.terms));
  const auto draw = [&] { return values.draw(lowest_field, highest_field); };
  const std::vector<float> a = filled(kM * K, draw), b = filled(K * kN, draw);
  return differences(rule, kM, kN, K, a, b, &counts);
}

// Neighbouring products that cancel but for a unit in the last place of one operand, and small ones beside.
int64_t differences_of_cancelling(const StepRule& rule, uint32_t seed, Counts& counts) {
  Values values(rule.input, seed);
  const int64_t K = 2 * rule.terms;
  const int bias = values.bias();
  std::vector<float> a = filled(kM * K, [&] { return values.draw(bias, bias + 2); });
  std::vector<float> b = filled(K * kN, [&] { return values.draw(bias, bias + 2); });
  for (int64_t i = 0; i < kM * K; i += 2) a[i + 1] = a[i];
  for (int64_t k = 0; k < K; k += 2) {
    for (int64_t n = 0; n < kN; ++n) {
      const double value = b[k * kN + n];
      const bool exact = values.below(32) != 0;
      b[(k + 1) * kN + n] =
          static_cast<float>(round_to(-value * (exact ? 1 : 1 + 2 * unit_roundoff(rule.input)), rule.input));
    }
  }
  for (int64_t m = 0; m < kM; ++m) {
    a[m * K + K - 2] = 0;
    a[m * K + K - 1] = values.draw(bias - 9, bias - 7);
  }
  return differences(rule, kM, kN, K, a, b, &counts);
}

struct Reachable {
  bool overflow, floor, vanishing;
};

// What a chain from +0 over finite operands can reach.
Reachable reachable(const StepRule& rule) {
  return {rule.accumulate == Dtype::kF16 || info(rule.input).exponent_bits == 8,
          2 * smallest_exponent(rule.input) < rule.floor,
          2 * (smallest_exponent(rule.input) - info(rule.input).fraction_bits) <
              smallest_exponent(rule.accumulate) - info(rule.accumulate).fraction_bits};
}

// Each rule once, however many units have it.
template <class Body>
void for_each_rule(Body body) {
  std::vector<StepRule> seen;
  for (const auto& [name, unit] : Registry<Unit>::instance().entries()) {
    for (const StepRule& rule : unit.rules) {
      if (std::find(seen.begin(), seen.end(), rule) != seen.end()) continue;
      seen.push_back(rule);
      INFO(name << " " << faultline::name(rule.input) << " -> " << faultline::name(rule.accumulate));
      body(rule);
    }
  }
  CHECK(seen.size() >= 21);
}

TEST_CASE("fused dot product: equals the plain model in every category, of each enough") {
  uint32_t seed = 1;
  for_each_rule([&](const StepRule& rule) {
    const int bias = Values(rule.input, 0).bias(), spread = std::min(bias - 1, 10);
    const int large = bias + 1 - smallest_exponent(rule.accumulate) / 2 + 1;
    const int tiny = bias + rule.floor / 2 - 1;
    const int least = (smallest_exponent(rule.accumulate) - info(rule.accumulate).fraction_bits) / 2 + bias;
    Counts counts;
    int64_t different = 0;
    for (int round = 0; round < kRounds; ++round) {
      different += differences_in_range(rule, bias - spread, bias + spread, ++seed, 5, counts);
    }
    for (int round = 0; round < 3; ++round) {
      different += differences_in_range(rule, 0, 1 << 10, ++seed, 4, counts);
      different += differences_in_range(rule, 0, 3, ++seed, 2, counts);
      different += differences_in_range(rule, large - 2, large + 4, ++seed, 3, counts);
      different += differences_in_range(rule, tiny - 12, tiny, ++seed, 1, counts);
      different += differences_of_cancelling(rule, ++seed, counts);
    }
    for (uint32_t round = 0; round < 3; ++round) {
      different += differences_in_range(rule, least - 4, least, 1000 + round, 2, counts);
    }
    CHECK(different == 0);
    CHECK(counts.cut >= 10000);
    CHECK(counts.cancelled >= 1000);
    CHECK(counts.subnormal >= 1000);
    CHECK(counts.long_chains >= 1000);
    if (reachable(rule).overflow) CHECK(counts.overflowed >= 1000);
    if (reachable(rule).floor) CHECK(counts.at_floor >= 1000);
    if (reachable(rule).vanishing) CHECK(counts.vanished >= 100);
  });
}

TEST_CASE("fused dot product: every special value in every lane of each operand, in each step") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for_each_rule([&](const StepRule& rule) {
    const int64_t M = 5, N = 19, K = 2 * rule.terms + 1;
    std::vector<float> specials = {std::numeric_limits<float>::quiet_NaN(), -0.0f};
    if (info(rule.input).infinite) specials.insert(specials.end(), {kInfinity, -kInfinity});
    Values values(rule.input, 5);
    const int bias = values.bias();
    const auto draw = [&] { return values.draw(bias - 2, bias + 2); };
    int64_t different = 0;
    for (float special : specials) {
      for (int64_t lane = 0; lane < K; ++lane) {
        std::vector<float> a = filled(M * K, draw), b = filled(K * N, draw);
        a[1 * K + lane] = special;
        b[lane * N + 7] = special;
        b[(K - 1) * N + 17] = -special;
        different += differences(rule, M, N, K, a, b);
      }
    }
    CHECK(different == 0);
  });
}

TEST_CASE("fused dot product: random bit patterns, infinities and NaNs among them") {
  std::mt19937 random(9);
  for_each_rule([&](const StepRule& rule) {
    const int bits = 8 * size_bytes(rule.input);
    int64_t different = 0;
    for (int round = 0; round < 4; ++round) {
      const int64_t K = 1 + random() % (round < 2 ? 3 : 2 * rule.terms);
      const auto draw = [&] {
        const uint64_t pattern = random() & ((uint64_t{1} << bits) - 1);
        return static_cast<float>(value_of(pattern, rule.input));
      };
      different += differences(rule, kM, kN, K, filled(kM * K, draw), filled(K * kN, draw));
    }
    CHECK(different == 0);
  });
}

TEST_CASE("fused dot product: chains longer than the block that is packed at once") {
  for_each_rule([&](const StepRule& rule) {
    const int64_t K = 523;
    Values values(rule.input, 3);
    const int bias = values.bias();
    const auto draw = [&] { return values.draw(bias - 5, bias); };
    CHECK(differences(rule, 3, 18, K, filled(3 * K, draw), filled(K * 18, draw)) == 0);
  });
}

TEST_CASE("fused dot product: what is infinite or NaN in the first block stays so in the others") {
  for_each_rule([&](const StepRule& rule) {
    const int64_t K = 9 * rule.terms + 3;
    Values values(rule.input, 5);
    const auto draw = [&] { return values.draw(values.bias() - 5, values.bias()); };
    for (float special : {INFINITY, -INFINITY, NAN}) {
      if (rule.input == Dtype::kE4m3 && std::isinf(special)) continue;  // it has none
      std::vector<float> b = filled(K * 18, draw);
      b[18 + 3] = special;
      CHECK(differences(rule, 3, 18, K, filled(3 * K, draw), b) == 0);
    }
  });
}

// Of windows into an image whose rows are `pitch` apart, of which some are zero, against the same matrix written out.
// `sparse`: the left operand has zeros, at every third k in all rows, the first of which meets `special` once.
int64_t differences_of_windows(const StepRule& rule, int64_t run, int64_t pitch, int64_t apart,
                               bool sparse = false, float special = 1) {
  const int64_t M = 3, runs = 3, N = runs * run, K = 9 * rule.terms + 3;
  Values values(rule.input, 11);
  std::vector<int64_t> step(K), origin(runs);
  for (int64_t k = 0; k < K; ++k) step[k] = k % 4 * apart + k / 4 * pitch;
  for (int64_t i = 0; i < runs; ++i) origin[i] = (runs - i) * pitch;
  std::vector<float> image(step[K - 1] + 3 * apart + origin[0] + run + 64), b(K * N);
  for (int64_t i = 0; i < image.size(); ++i) {
    if (i / pitch % 3 != 0) image[i] = values.draw(values.bias() - 5, values.bias());
  }
  std::vector<float> a = filled(M * K, [&] { return values.draw(values.bias() - 5, values.bias()); });
  for (int64_t i = 0; sparse && i < M * K; ++i) {
    if (i % K % 3 == 0 || i % 5 == 0) a[i] = 0;
  }
  if (sparse) image[step[0] + origin[0]] = special;
  const int64_t size = step[K - 1] + 3 * apart + origin[0] + run;
  const Windows windows{image.data(), size, step.data(), origin.data(), run};
  for (int64_t i = 0; i < K * N; ++i) b[i] = windows.at(i / N, i % N);
  std::vector<float> expected(M * N);
  fused_dot_product(rule, M, N, K, a.data(), b.data(), expected.data());
  int64_t different = 0;
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    std::vector<float> got(M * N, 1.0f);
    fused_dot_windows(rule, M, N, K, a.data(), windows, got.data());
    for (int64_t i = 0; i < M * N; ++i) {
      different += std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(expected[i]);
    }
  }
  set_instruction_set("");
  return different;
}

TEST_CASE("fused dot product: windows give the bits of the matrix that they are") {
  for_each_rule([&](const StepRule& rule) {
    for (int64_t run : {1, 5, 23, 70}) CHECK(differences_of_windows(rule, run, 91, 1) == 0);
    for (int64_t apart : {1, 16, 32, 64}) CHECK(differences_of_windows(rule, 128, 256, apart) == 0);
  });
}

TEST_CASE("fused dot product: windows that meet zeros only, and what is infinite or NaN there") {
  for_each_rule([&](const StepRule& rule) {
    for (int64_t run : {1, 5, 23, 70}) CHECK(differences_of_windows(rule, run, 91, 1, true) == 0);
    for (float special : {INFINITY, NAN}) {
      if (rule.input == Dtype::kE4m3 && std::isinf(special)) continue;
      for (int64_t run : {1, 5, 70}) CHECK(differences_of_windows(rule, run, 91, 1, true, special) == 0);
    }
  });
}

TEST_CASE("fused dot product: sums beyond int32") {
  const StepRule& rule =
      *step_rule(Registry<Unit>::instance().find("h100").rules, {Dtype::kF16, Dtype::kF32});
  const int64_t K = 3 * rule.terms;
  std::vector<float> a(kM * K, 1.9990234375f), b(K * kN, 1.9990234375f);
  for (int64_t k = 0; k < K; ++k) b[k * kN + 1] *= -1;
  const FusedDotCounts before = fused_dot_counts();
  CHECK(differences(rule, kM, kN, K, a, b) == 0);
  // The first step's only: then the accumulator has the largest exponent.
  CHECK(fused_dot_counts().slow_steps - before.slow_steps == kM * kN * instruction_sets().size());
}

TEST_CASE("fused dot product: leaves the processor's rounding as it was") {
  const StepRule& rule =
      *step_rule(Registry<Unit>::instance().find("a100").rules, {Dtype::kF16, Dtype::kF32});
  float a = 1, b = 1, c = 0;
  fused_dot_product(rule, 1, 1, 1, &a, &b, &c);
  check_float_environment("fused_dot_product");
}

TEST_CASE("fused dot product: counts its steps, and those that it gives to the plain model") {
  const Unit& h100 = Registry<Unit>::instance().find("h100");
  const auto counted = [&](Dtype input, float a_value, float b_value) {
    const int64_t M = 3, N = 20, K = 40;
    const std::vector<float> a(M * K, a_value), b(K * N, b_value);
    std::vector<float> c(M * N);
    const FusedDotCounts before = fused_dot_counts();
    fused_dot_product(*step_rule(h100.rules, {input, Dtype::kF32}), M, N, K, a.data(), b.data(), c.data());
    const FusedDotCounts after = fused_dot_counts();
    return std::vector<int64_t>{after.steps - before.steps, after.slow_steps - before.slow_steps};
  };
  CHECK(counted(Dtype::kF16, 0x1p-24f, 65504.0f) == std::vector<int64_t>{180, 0});
  CHECK(counted(Dtype::kF16, std::numeric_limits<float>::infinity(), 1) == std::vector<int64_t>{180, 180});
  CHECK(counted(Dtype::kBf16, 0x1p-20f, 0x1p-20f) == std::vector<int64_t>{180, 0});
  CHECK(counted(Dtype::kBf16, 0.0f, 0x1p-20f) == std::vector<int64_t>{180, 0});
  CHECK(counted(Dtype::kBf16, 0x1p-70f, 0x1p-70f) == std::vector<int64_t>{180, 180});
  CHECK(counted(Dtype::kTf32, 0x1p-70f, 0x1p-70f) == std::vector<int64_t>{300, 300});
}

}  // namespace
}  // namespace faultline
