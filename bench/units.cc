// What each matrix unit costs on one core: 512 x 512 x 512 through the engine's product, beside the processor's
// own fused multiply-adds and our f32 product in the same run. Run: bazel run //bench:units
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <random>
#include <set>

#include "bench/fma_peak.h"
#include "engine/base/parallel.h"
#include "engine/kernels/product.h"
#include "engine/mma/fused_dot_product.h"
#include "engine/mma/unit.h"

namespace faultline::bench {
namespace {

constexpr int64_t kSize = 512;

// As training has them: normal values, rows of different scale, some zeros.
template <class T>
std::vector<T> operand(uint32_t seed, double scale) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 1);
  std::vector<T> values(kSize * kSize);
  for (int64_t i = 0; i < kSize * kSize; ++i) {
    const double row = std::ldexp(scale, static_cast<int>(i / kSize * 7 % 9) - 4);
    values[i] = narrow<T>(random() % 8 == 0 ? 0 : row * normal(random));
  }
  return values;
}

// A product of `format` operands on a unit, ready to run.
struct UnitRun {
  UnitRun(const std::string& unit, UnitFormat format) {
    const bool tf32 = format.input == Dtype::kTf32;
    const Dtype stored = tf32 ? Dtype::kF32 : format.input;
    visit(stored, [&]<class T>() {
      const auto operands =
          std::make_shared<std::pair<std::vector<T>, std::vector<T>>>(operand<T>(1, 1), operand<T>(2, 0.05));
      ProductArgs args{kSize,
                       kSize,
                       kSize,
                       {operands->first.data(), stored, kSize, 1},
                       {operands->second.data(), stored, kSize, 1}};
      args.out_row_stride = kSize;
      args.arithmetic.unit = unit;
      args.arithmetic.tf32 = tf32;
      args.arithmetic.accumulate = format.accumulate;
      body = [args, operands, c = std::vector<float>(kSize * kSize)]() mutable {
        args.out = c.data();
        product("bench", args);
      };
    });
  }
  std::function<void()> body;
};

// The share of a unit's fused steps that its fast path did not take.
std::string slow_share(const FusedDotCounts& before) {
  const FusedDotCounts after = fused_dot_counts();
  const double steps = static_cast<double>(after.steps - before.steps);
  if (steps == 0) return "";
  return fmt::format("{:.4f} % slow steps",
                     100 * static_cast<double>(after.slow_steps - before.slow_steps) / steps);
}

void measure(Suite& suite) {
  set_threads(1);
  const UnitRun own(kFmaUnit, {Dtype::kF32, Dtype::kF32});
  std::set<std::string> seen;  // a unit with two names is measured under the first
  for (const auto& [unit, row] : Registry<Unit>::instance().entries()) {
    if (!seen.insert(row.description).second) continue;
    for (const UnitFormat& format : row.formats) {
      if (!info(format.input).storable && format.input != Dtype::kTf32) continue;
      const std::string name =
          fmt::format("{} {} -> {}", unit, faultline::name(format.input), faultline::name(format.accumulate));
      if (!suite.wants(name, 1)) continue;
      const UnitRun run(unit, format);
      const FusedDotCounts before = fused_dot_counts();
      suite.compare({name,
                     1,
                     2e-9 * double(kSize * kSize * kSize),
                     {{"unit", run.body}, {"fma f32", own.body}},
                     fma_peak(1),
                     [&] { return slow_share(before); }});
    }
  }
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(
      argc, argv,
      {"units", "512 x 512 x 512 on each matrix unit beside our own f32 product, one core", "GFLOP/s"},
      measure);
}
