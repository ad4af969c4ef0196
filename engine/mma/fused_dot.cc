#include "engine/mma/fused_dot.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

namespace faultline {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A finite value: (-1)^negative * significand * 2^(exponent - fraction).
struct Term {
  bool negative;
  int64_t significand;
  int exponent;  // of the format's fields: subnormals have the format's smallest
  int fraction;  // fraction bits of the significand
};

// `value` is one of the format's, so no bit is lost.
Term decode(float value, Dtype format) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), field = bits >> 23 & 0xff, low = bits & 0x7fffff;
  const int64_t significand = field == 0 ? low : low | 1 << 23;
  const int exponent = std::max<int>(field, 1) - 127, smallest = smallest_exponent(format);
  const int fraction = info(format).fraction_bits;
  const int subnormal = std::clamp(smallest - exponent, 0, 24);
  return {std::signbit(value), significand >> (23 - fraction) >> subnormal, std::max(exponent, smallest),
          fraction};
}

Term product(const Term& a, const Term& b) {
  return {a.negative != b.negative, a.significand * b.significand, a.exponent + b.exponent,
          a.fraction + b.fraction};
}

// The term as a multiple of 2^quantum, cut toward zero.
int64_t aligned(const Term& term, int quantum) {
  if (term.significand == 0) return 0;  // its exponent took no part, so that the shift has no bound
  const int shift = term.exponent - term.fraction - quantum;
  const int64_t magnitude = shift >= 0 ? term.significand << shift : term.significand >> std::min(-shift, 63);
  return term.negative ? -magnitude : magnitude;
}

double exact_value(const Term& term) {
  const double magnitude = std::ldexp(static_cast<double>(term.significand), term.exponent - term.fraction);
  return term.negative ? -magnitude : magnitude;
}

// sum * 2^quantum, toward zero to `fraction` fraction bits of f32; beyond the largest finite value, infinity.
float to_f32_toward_zero(int64_t sum, int quantum, int fraction) {
  int64_t magnitude = std::abs(sum);
  const int top = 63 - std::countl_zero(static_cast<uint64_t>(magnitude));
  const int cut = std::clamp(std::max(top, -126 - quantum) - fraction, 0, 63);
  magnitude = magnitude >> cut << cut;
  const double value = std::ldexp(static_cast<double>(magnitude), quantum);
  const float result = value >= 0x1p128 ? kInfinity : static_cast<float>(value);
  return sum < 0 ? -result : result;
}

// A zero is +0, of a sum that vanishes here too: measured on an H200 for f16 -> f16, bf16 and tf32
// (tests/engine/mma/captures/h200); of its fp8 and of the other chips, datapaths of one family, it is inferred.
float converted(const StepRule& rule, int64_t sum, int quantum) {
  const float result = rule.accumulate == Dtype::kF32
                           ? to_f32_toward_zero(sum, quantum, rule.result_fraction)
                           : to_f32(f16_from_f64(std::ldexp(static_cast<double>(sum), quantum)));
  return result == 0 ? 0.0f : result;
}

// The result where an infinity or a NaN decides it.
std::optional<float> special(const StepRule& rule, const float* a, const float* b, int64_t terms, float c) {
  bool nan = std::isnan(c), plus = c == kInfinity, minus = c == -kInfinity;
  for (int64_t i = 0; i < terms; ++i) {
    if (std::isfinite(a[i]) && std::isfinite(b[i])) continue;
    const float product = a[i] * b[i];  // an infinity, or a NaN where one is a NaN or 0
    nan |= std::isnan(product);
    plus |= product == kInfinity;
    minus |= product == -kInfinity;
  }
  if (nan || (plus && minus)) {
    return rule.accumulate == Dtype::kF16 ? to_f32(F16{0x7fff}) : std::bit_cast<float>(0x7fffffffu);
  }
  if (plus || minus) return plus ? kInfinity : -kInfinity;
  return {};
}

}  // namespace

float fused_dot_step(const StepRule& rule, const float* a, const float* b, int64_t terms, float c,
                     StepTrace* trace) {
  if (const std::optional<float> result = special(rule, a, b, terms, c)) {
    if (trace) *trace = {.special = true, .result = *result};
    return *result;
  }
  Term products[kMostTerms];
  for (int64_t i = 0; i < terms; ++i)
    products[i] = product(decode(a[i], rule.input), decode(b[i], rule.input));
  const Term accumulator = decode(c, rule.accumulate);

  int exponent = rule.floor;
  const auto raise = [&](const Term& term) {
    if (term.significand != 0) exponent = std::max(exponent, term.exponent);
  };
  raise(accumulator);
  std::for_each_n(products, terms, raise);

  const int quantum = exponent - rule.kept_bits;
  int64_t sum = aligned(accumulator, quantum);
  for (int64_t i = 0; i < terms; ++i) sum += aligned(products[i], quantum);
  const float result = converted(rule, sum, quantum);

  if (trace) {
    const auto value = [&](int64_t multiple) { return std::ldexp(static_cast<double>(multiple), quantum); };
    const auto traced = [&](const Term& term) {
      return StepTrace::Term{exact_value(term), value(aligned(term, quantum))};
    };
    *trace = {false, exponent, quantum, traced(accumulator), {}, value(sum), result};
    for (int64_t i = 0; i < terms; ++i) trace->products.push_back(traced(products[i]));
  }
  return result;
}

float fused_dot(const StepRule& rule, const float* a, const float* b, int64_t k, float c) {
  for (int64_t begin = 0; begin < k; begin += rule.terms) {
    c = fused_dot_step(rule, a + begin, b + begin, std::min<int64_t>(rule.terms, k - begin), c);
  }
  return c;
}

std::vector<StepTrace> trace_fused_dot(const StepRule& rule, const float* a, const float* b, int64_t k,
                                       float c) {
  std::vector<StepTrace> steps;
  for (int64_t begin = 0; begin < k; begin += rule.terms) {
    const int64_t terms = std::min<int64_t>(rule.terms, k - begin);
    c = fused_dot_step(rule, a + begin, b + begin, terms, c, &steps.emplace_back());
  }
  return steps;
}

std::string phrase(const StepRule& rule) {
  std::string text = "steps of " + std::to_string(rule.terms) + " products, " +
                     std::to_string(rule.kept_bits) + " bits kept below the largest exponent, ";
  if (rule.accumulate == Dtype::kF16) return text + "rounded to nearest even";
  text += "cut toward zero";
  const bool shorter = rule.result_fraction < info(rule.accumulate).fraction_bits;
  return shorter ? text + " to " + std::to_string(rule.result_fraction) + " fraction bits" : text;
}

}  // namespace faultline
