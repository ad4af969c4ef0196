// The matrix units of NVIDIA's chips (tensor_core_numerics.md 1 and 3). A new chip is one row.
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
  int step_bits;  // of one operand: 16-bit formats have step_bits / 16 products a step, tf32 step_bits / 32
  int kept_bits;
  int f32_floor, f16_floor;
  bool bf16_and_tf32 = true;
  Fp8 fp8 = {};
};

const Chip kChips[] = {
    {{"v100"}, "NVIDIA V100 (Volta), mma", 64, 23, -131, -19, false},
    {{"t4"}, "NVIDIA T4 (Turing), mma", 128, 24, -132, -20, false},
    {{"a100", "a2"}, "NVIDIA A100, A2 (Ampere), mma", 128, 24, -132, -20},
    {{"l40s", "ada"}, "NVIDIA L40S (Ada), mma", 128, 24, -132, -20, true, {16, 13, 13, true}},
    {{"h100", "h200"}, "NVIDIA H100, H200 (Hopper), wgmma", 256, 25, -133, -133, true, {32, 13, 13}},
    {{"h100:mma", "h200:mma"}, "NVIDIA H100, H200 (Hopper), mma", 256, 25, -133, -21},
    {{"b200"}, "NVIDIA B200 (Blackwell), tcgen05", 256, 25, -133, -133, true, {32, 25, 23}},
    {{"b200:mma"}, "NVIDIA B200 (Blackwell), mma", 256, 25, -133, -21},
};

std::vector<StepRule> rules(const Chip& chip) {
  const int terms = chip.step_bits / 16, kept = chip.kept_bits;
  std::vector<StepRule> rules = {{Dtype::kF16, Dtype::kF32, terms, kept, chip.f32_floor},
                                 {Dtype::kF16, Dtype::kF16, terms, kept, chip.f16_floor}};
  if (chip.bf16_and_tf32) {
    rules.push_back({Dtype::kBf16, Dtype::kF32, terms, kept, chip.f32_floor});
    rules.push_back({Dtype::kTf32, Dtype::kF32, terms / 2, kept, chip.f32_floor});
  }
  const Fp8& fp8 = chip.fp8;
  for (Dtype input : {Dtype::kE4m3, Dtype::kE5m2}) {
    if (fp8.terms == 0) break;
    rules.push_back({input, Dtype::kF32, fp8.terms, fp8.kept_bits, chip.f32_floor, fp8.result_fraction});
    if (fp8.f16) rules.push_back({input, Dtype::kF16, fp8.terms, fp8.kept_bits, chip.f16_floor});
  }
  return rules;
}

Unit unit(const Chip& chip) {
  Unit unit{chip.description, {}, "", nullptr};
  unit.rules = rules(chip);
  for (const StepRule& rule : unit.rules) unit.formats.push_back({rule.input, rule.accumulate});
  unit.dot = [rules = unit.rules](UnitFormat format, const float* a, const float* b, int64_t k, float c) {
    return fused_dot(*step_rule(rules, format), a, b, k, c);
  };
  unit.product = [rules = unit.rules](const UnitProduct& p) {
    fused_dot_product(*step_rule(rules, {p.input, p.accumulate}), p.M, p.N, p.K, p.a, p.b, p.c);
  };
  unit.windows = [rules = unit.rules](const UnitWindows& w) {
    const StepRule& rule = *step_rule(rules, {w.input, w.accumulate});
    fused_dot_windows(rule, w.M, w.N, w.K, w.a, w.image, w.step, w.c);
  };
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
