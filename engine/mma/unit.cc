#include "engine/mma/unit.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"
#include "engine/base/text.h"

namespace faultline {
namespace {

// The definition of `fma`, one output at a time: the chain of numerics.md 2.1 over the whole K.
// Accumulating in f16 takes one f64 fma and one rounding per step, which is fma rounded once to f16. The
// product of two f16 has 22 bits p * 2^e and the f64 sum with c = m * 2^g, |m| < 2^11, loses bits only where
// it spans more than 53 of them. Either c dominates, |a * b| < 2^-30 |c|: then both roundings give c, which
// is an f16. Or the product dominates by 2^41, so that it is at least 2^52 * 2^g >= 2^28, beyond 65520: both
// give infinity.
void fma_product(const UnitProduct& p) {
  const bool f16 = p.accumulate == Dtype::kF16;
  for (int64_t m = 0; m < p.M; ++m) {
    for (int64_t n = 0; n < p.N; ++n) {
      float sum = 0;
      for (int64_t k = 0; k < p.K; ++k) {
        const float a = p.a[m * p.K + k], b = p.b[k * p.N + n];
        sum = f16 ? to_f32(f16_from_f64(std::fma(double{a}, double{b}, double{sum}))) : std::fma(a, b, sum);
      }
      p.c[m * p.N + n] = sum;
    }
  }
}

const Registered<Unit> kFma{kFmaUnit,
                            {"fused multiply-add chain in blocks of 512; the reference",
                             {Dtype::kF16, Dtype::kBf16, Dtype::kTf32, Dtype::kF32},
                             {Dtype::kF32, Dtype::kF16},
                             fma_product}};

std::string names(const std::vector<Dtype>& formats) {
  std::vector<std::string> words;
  for (Dtype format : formats) words.push_back(name(format));
  return join(words, ", ");
}

bool has(const std::vector<Dtype>& formats, Dtype format) {
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

}  // namespace

Dtype unit_input(const Arithmetic& arithmetic, Dtype stored) {
  return arithmetic.tf32 && stored == Dtype::kF32 ? Dtype::kTf32 : stored;
}

const Unit& check_unit(const Arithmetic& arithmetic, Dtype input, const std::string& op_name) {
  const auto refuse = [&](ErrorCode code, const std::string& text) { throw Error(code, op_name, text); };
  const Registry<Unit>& units = Registry<Unit>::instance();
  if (!units.contains(arithmetic.unit)) {
    refuse(ErrorCode::kNotFound,
           "unknown unit '" + arithmetic.unit + "' (known: " + join(units.names(), ", ") + ")");
  }
  const Unit& unit = units.find(arithmetic.unit);
  if (!has(unit.inputs, input)) {
    refuse(ErrorCode::kDtype, "unit " + arithmetic.unit + " does not take " + name(input) +
                                  " operands (it takes " + names(unit.inputs) + ")");
  }
  if (!has(unit.accumulators, arithmetic.accumulate)) {
    refuse(ErrorCode::kDtype, "unit " + arithmetic.unit + " does not accumulate in " +
                                  name(arithmetic.accumulate) + " (it has " + names(unit.accumulators) + ")");
  }
  if (arithmetic.accumulate == Dtype::kF16 && input != Dtype::kF16) {
    refuse(ErrorCode::kDtype, std::string("accumulating in f16 takes f16 operands, not ") + name(input));
  }
  if (arithmetic.split_k < 1) {
    refuse(ErrorCode::kArgument, "split_k is " + std::to_string(arithmetic.split_k) + ", must be at least 1");
  }
  return unit;
}

}  // namespace faultline
