#include "engine/mma/unit.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/text.h"

namespace faultline {
namespace {

// The definition of `fma`: one chain over the whole of k (numerics.md 2.1).
// Accumulating in f16 takes one f64 fma and one rounding per step, which is fma rounded once to f16. The
// product of two f16 has 22 bits p * 2^e and the f64 sum with c = m * 2^g, |m| < 2^11, loses bits only where
// it spans more than 53 of them. Either c dominates, |a * b| < 2^-30 |c|: then both roundings give c, which
// is an f16. Or the product dominates by 2^41, so that it is at least 2^52 * 2^g >= 2^28, beyond 65520: both
// give infinity.
float fma_dot(UnitFormat format, const float* a, const float* b, int64_t K, float c) {
  const bool f16 = format.accumulate == Dtype::kF16;
  for (int64_t k = 0; k < K; ++k) {
    c = f16 ? to_f32(f16_from_f64(std::fma(double{a[k]}, double{b[k]}, double{c}))) : std::fma(a[k], b[k], c);
  }
  return c;
}

const Registered<Unit> kFma{kFmaUnit,
                            {"fused multiply-add chain in blocks of 512; the reference",
                             {{Dtype::kF16, Dtype::kF32},
                              {Dtype::kBf16, Dtype::kF32},
                              {Dtype::kTf32, Dtype::kF32},
                              {Dtype::kF32, Dtype::kF32},
                              {Dtype::kF16, Dtype::kF16}},
                             "a chain of fused multiply-adds in blocks of 512, each rounded to nearest even",
                             [](const UnitProduct& p) { product_of_dots(p, fma_dot); },
                             fma_dot}};

std::string format_text(UnitFormat format) {
  return std::string(name(format.input)) + " -> " + name(format.accumulate);
}

}  // namespace

void UnitRuns::add(int64_t offset, int64_t length) {
  const Run* const last = runs_.size() > 1 ? &runs_.back() - 1 : nullptr;
  if (last == nullptr || last->offset + size_ - last->k != offset) {
    runs_.back().offset = offset;
    runs_.emplace_back();
  }
  size_ += length;
  runs_.back() = {size_, 0};
}

const UnitRuns::Run* UnitRuns::at(int64_t k) const {
  const auto later = [](int64_t k, const Run& run) { return k < run.k; };
  return &*std::upper_bound(runs_.begin(), runs_.end(), k, later) - 1;
}

Bf16 UnitOperand::element(int64_t i, int64_t k) const {
  if (offset != nullptr) return data[offset[k] + i];
  const UnitRuns::Run* const run = runs->at(first_k + k);
  return data[row[i] + run->offset + first_k + k - run->k];
}

std::vector<int64_t> multiples(int64_t n, int64_t stride) {
  std::vector<int64_t> values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = i * stride;
  return values;
}

StridedOperand::StridedOperand(const Bf16* data, int64_t size, int64_t K, int64_t row_stride,
                               int64_t k_stride)
    : offsets_(row_stride == 1 ? multiples(K, k_stride) : multiples(size, row_stride)) {
  if (row_stride == 1) {
    operand_ = {.data = data, .offset = offsets_.data()};
  } else {
    for (int64_t k = 0; k < K; ++k) runs_.add(k * k_stride, 1);
    operand_ = {.data = data, .row = offsets_.data(), .runs = &runs_};
  }
}

Dtype unit_input(const Arithmetic& arithmetic, Dtype stored) {
  return arithmetic.tf32 && stored == Dtype::kF32 ? Dtype::kTf32 : stored;
}

void product_of_dots(const UnitProduct& p, const UnitDot& dot) {
  std::vector<float> column(p.K);
  for (int64_t n = 0; n < p.N; ++n) {
    for (int64_t k = 0; k < p.K; ++k) column[k] = p.b[k * p.N + n];
    for (int64_t m = 0; m < p.M; ++m) {
      p.c[m * p.N + n] = dot({p.input, p.accumulate}, p.a + m * p.K, column.data(), p.K, 0.0f);
    }
  }
}

const StepRule* step_rule(const std::vector<StepRule>& rules, UnitFormat format) {
  for (const StepRule& rule : rules) {
    if (UnitFormat{rule.input, rule.accumulate} == format) return &rule;
  }
  return nullptr;
}

std::string order_phrase(const Unit& unit, UnitFormat format) {
  const StepRule* rule = step_rule(unit.rules, format);
  return rule ? phrase(*rule) : unit.order;
}

const Unit& check_unit(const Arithmetic& arithmetic, Dtype input, const std::string& op_name) {
  const auto refuse = [&](ErrorCode code, const std::string& text) { throw Error(code, op_name, text); };
  const Registry<Unit>& units = Registry<Unit>::instance();
  if (!units.contains(arithmetic.unit)) {
    const std::string guess = nearest(arithmetic.unit, units.names());
    refuse(ErrorCode::kNotFound, "unknown unit '" + arithmetic.unit + "'" +
                                     (guess.empty() ? "" : ", did you mean '" + guess + "'?") +
                                     " (known: " + join(units.names(), ", ") + ")");
  }
  const Unit& unit = units.find(arithmetic.unit);
  const UnitFormat format{input, arithmetic.accumulate};
  if (std::find(unit.formats.begin(), unit.formats.end(), format) == unit.formats.end()) {
    std::vector<std::string> texts;
    for (const UnitFormat& known : unit.formats) texts.push_back(format_text(known));
    refuse(ErrorCode::kDtype, "unit " + arithmetic.unit + " has no product " + format_text(format) +
                                  " (it has " + join(texts, ", ") + ")");
  }
  if (arithmetic.split_k < 1) {
    refuse(ErrorCode::kArgument, "split_k is " + std::to_string(arithmetic.split_k) + ", must be at least 1");
  }
  return unit;
}

}  // namespace faultline
