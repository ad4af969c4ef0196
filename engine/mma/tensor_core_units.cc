// The matrix units of NVIDIA's chips (tensor_core_numerics.md 1 and 3). A new chip is one row.
#include <algorithm>
#include <utility>

#include "engine/mma/fp8_on_f16.h"
#include "engine/mma/fused_dot_product.h"
#include "engine/mma/unit.h"

namespace faultline {
namespace {

struct Fp8 {
  int terms = 0;  // 0: the instruction does not take fp8
  int kept_bits = 0;
  int result_fraction = 0;
  bool f16 = false;  // accumulates in f16 too
};

struct Chip {
  std::vector<const char*> names;
  const char* description;
  int terms;       // of a step over 16-bit formats
  int tf32_terms;  // 0: takes neither tf32 nor bf16
  int kept_bits;
  int integer_bits;  // of the adder: FLOOR lies so far below the accumulator's smallest exponent
  Fp8 fp8 = {};
  bool fp8_on_f16 = false;
};

// Every row of the h100 has been held against an H200 (tests/engine/mma/captures/h200); the other chips' against
// what others captured (tensor_core_numerics.md 1). wmma multiplies tf32 by two instructions of k = 4 on every chip,
// which shows where a step could take 8; of the b200 its machine code alone says so. FLOOR by the adder's width is
// measured for f32 and f16 by mma, wmma and wgmma of the H200, where the notes have -133 for f16 by wgmma; for the
// tcgen05 of the b200, of which they say the same, it is inferred.
const Chip kChips[] = {
    {{"v100"}, "NVIDIA V100 (Volta), mma", 4, 0, 23, 5},
    {{"t4"}, "NVIDIA T4 (Turing), mma", 8, 0, 24, 6},
    {{"a100", "a2"}, "NVIDIA A100, A2 (Ampere), mma", 8, 4, 24, 6},
    {{"l40s", "ada"}, "NVIDIA L40S (Ada), mma", 8, 4, 24, 6, {16, 13, 13, true}},
    {{"h100", "h200"}, "NVIDIA H100, H200 (Hopper), wgmma", 16, 8, 25, 7, {32, 13, 13, true}},
    {{"h100:mma", "h200:mma"}, "NVIDIA H100, H200 (Hopper), mma", 16, 8, 25, 7, {}, true},
    {{"h100:wmma", "h200:wmma"}, "NVIDIA H100, H200 (Hopper), wmma", 16, 4, 25, 7},
    {{"b200"}, "NVIDIA B200 (Blackwell), tcgen05", 16, 8, 25, 7, {32, 25, 23}},
    {{"b200:mma"}, "NVIDIA B200 (Blackwell), mma", 16, 8, 25, 7},
    {{"b200:wmma"}, "NVIDIA B200 (Blackwell), wmma", 16, 4, 25, 7},
};

constexpr Dtype kFp8[] = {Dtype::kE4m3, Dtype::kE5m2};

std::vector<StepRule> rules(const Chip& chip) {
  const auto rule = [&chip](Dtype input, Dtype accumulate, int terms, int kept, int result_fraction = 23) {
    const int floor = smallest_exponent(accumulate) - chip.integer_bits;
    return StepRule{input, accumulate, terms, kept, floor, result_fraction};
  };
  const int kept = chip.kept_bits;
  std::vector<StepRule> rules = {rule(Dtype::kF16, Dtype::kF32, chip.terms, kept),
                                 rule(Dtype::kF16, Dtype::kF16, chip.terms, kept)};
  if (chip.tf32_terms > 0) {
    rules.push_back(rule(Dtype::kBf16, Dtype::kF32, chip.terms, kept));
    rules.push_back(rule(Dtype::kTf32, Dtype::kF32, chip.tf32_terms, kept));
  }
  const Fp8& fp8 = chip.fp8;
  for (Dtype input : kFp8) {
    if (fp8.terms == 0) break;
    rules.push_back(rule(input, Dtype::kF32, fp8.terms, fp8.kept_bits, fp8.result_fraction));
    if (fp8.f16) rules.push_back(rule(input, Dtype::kF16, fp8.terms, fp8.kept_bits));
  }
  return rules;
}

// The products of a chip: chains of steps where the format has a rule, else fp8 on the steps of f16.
class Products {
 public:
  explicit Products(std::vector<StepRule> rules) : rules_(std::move(rules)) {}

  float dot(UnitFormat format, const float* a, const float* b, int64_t k, float c) const {
    if (const StepRule* rule = step_rule(rules_, format)) return fused_dot(*rule, a, b, k, c);
    return fp8_on_f16_dot(of_f16(format), a, b, k, c);
  }
  void product(const UnitProduct& p) const {
    const UnitFormat format{p.input, p.accumulate};
    if (const StepRule* rule = step_rule(rules_, format))
      return fused_dot_product(*rule, p.M, p.N, p.K, p.a, p.b, p.c);
    fp8_on_f16_product(of_f16(format), p.M, p.N, p.K, p.a, p.b, p.c);
  }
  void windows(const UnitWindows& w) const {
    if (const StepRule* rule = step_rule(rules_, {w.input, w.accumulate}))
      return fused_dot_windows(*rule, w.M, w.N, w.K, w.a, w.b, w.c);
    std::vector<float> b(w.K * w.N);
    for (int64_t i = 0; i < w.K * w.N; ++i) b[i] = w.b.at(i / w.N, i % w.N);
    product({w.M, w.N, w.K, w.a, b.data(), w.c, w.input, w.accumulate});
  }

 private:
  const StepRule& of_f16(UnitFormat format) const {
    return *step_rule(rules_, {Dtype::kF16, format.accumulate});
  }

  std::vector<StepRule> rules_;
};

Unit unit(const Chip& chip) {
  Unit unit{chip.description, {}, "", nullptr};
  unit.rules = rules(chip);
  for (const StepRule& rule : unit.rules) unit.formats.push_back({rule.input, rule.accumulate});
  for (Dtype input : kFp8) {
    if (!chip.fp8_on_f16) break;
    unit.order =
        "two steps of f16 from +0, k % 4 below 2 first, and the accumulator added last, to nearest even";
    for (Dtype accumulate : {Dtype::kF32, Dtype::kF16}) unit.formats.push_back({input, accumulate});
  }
  const Products products(unit.rules);
  unit.dot = [products](UnitFormat format, const float* a, const float* b, int64_t k, float c) {
    return products.dot(format, a, b, k, c);
  };
  unit.product = [products](const UnitProduct& p) { products.product(p); };
  unit.windows = [products](const UnitWindows& w) { products.windows(w); };
  return unit;
}

const bool kRegistered = [] {
  for (const Chip& chip : kChips) {
    for (const char* name : chip.names) Registered<Unit>(name, unit(chip));
  }
  return true;
}();

}  // namespace
}  // namespace faultline
