// What each matrix unit costs on one core: 512 x 512 x 512 through the engine's product, beside the processor's
// own fused multiply-adds and our f32 product in the same run. Run: bazel run //bench:units
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/kernels/product.h"
#include "engine/mma/fused_dot_product.h"
#include "engine/mma/unit.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/units.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Returns how many multiply-adds it did: as many chains as hide the latency of one.
int64_t MultiplyAdds(float* out) {
  const hn::ScalableTag<float> d;
  constexpr int kChains = 12, kSteps = 1 << 16;
  const auto a = hn::Set(d, out[0]), b = hn::Set(d, out[1]);
  decltype(hn::Zero(d)) sum[kChains];
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) sum[i] = hn::Set(d, static_cast<float>(i));
  for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = hn::MulAdd(sum[i], a, b);
  }
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) hn::StoreU(sum[i], d, out + i * hn::Lanes(d));
  return int64_t{kSteps} * kChains * hn::Lanes(d);
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(MultiplyAdds);

constexpr int64_t kSize = 512;
constexpr const char* kPeak = "fma peak";
constexpr const char* kOwn = "fma f32 -> f32";

std::map<std::string, double> slow_share;  // of the steps, by name

void run_peak(benchmark::State& state) {
  std::vector<float> out(12 * 64, 0.5f);
  int64_t count = 0;
  for (auto _ : state) {
    out[0] = 0.999f;
    out[1] = 1e-3f;
    count += HWY_DYNAMIC_DISPATCH(MultiplyAdds)(out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(count);
}

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

void run_product(benchmark::State& state, const std::string& name, const std::string& unit,
                 UnitFormat format) {
  const bool tf32 = format.input == Dtype::kTf32;
  const Dtype stored = tf32 ? Dtype::kF32 : format.input;
  visit(stored, [&]<class T>() {
    const std::vector<T> a = operand<T>(1, 1), b = operand<T>(2, 0.05);
    std::vector<float> c(kSize * kSize);
    ProductArgs args{kSize, kSize, kSize, {a.data(), stored, kSize, 1}, {b.data(), stored, kSize, 1}};
    args.out = c.data();
    args.out_row_stride = kSize;
    args.arithmetic.unit = unit;
    args.arithmetic.tf32 = tf32;
    args.arithmetic.accumulate = format.accumulate;
    const FusedDotCounts before = fused_dot_counts();
    for (auto _ : state) product("bench", args);
    const FusedDotCounts after = fused_dot_counts();
    const double steps = static_cast<double>(after.steps - before.steps);
    slow_share[name] = steps > 0 ? static_cast<double>(after.slow_steps - before.slow_steps) / steps : 0;
  });
  state.SetItemsProcessed(state.iterations() * kSize * kSize * kSize);
}

// Prints as usual and keeps every repetition's rate.
class Collector : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration)
        rates[run.run_name.function_name].push_back(run.counters.at("items_per_second"));
    }
  }
  std::map<std::string, std::vector<double>> rates;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Names of all products: those of operands that tensors hold.
std::vector<std::string> register_products() {
  std::vector<std::string> names;
  std::set<std::string> seen;  // a unit with two names is measured under the first
  for (const auto& [unit, row] : Registry<Unit>::instance().entries()) {
    if (!seen.insert(row.description).second) continue;
    for (const UnitFormat& format : row.formats) {
      if (!info(format.input).storable && format.input != Dtype::kTf32) continue;
      const std::string name =
          fmt::format("{} {} -> {}", unit, faultline::name(format.input), faultline::name(format.accumulate));
      names.push_back(name);
      benchmark::RegisterBenchmark(name.c_str(), [=, unit = unit](benchmark::State& state) {
        run_product(state, name, unit, format);
      })->Unit(benchmark::kMillisecond);
    }
  }
  return names;
}

}  // namespace
}  // namespace faultline

int main(int argc, char** argv) {
  using namespace faultline;
  set_float_environment();
  set_threads(1);
  std::vector<char*> args(argv, argv + argc);
  std::string repetitions = "--benchmark_repetitions=7", min_time = "--benchmark_min_time=0.05";
  std::string interleaved = "--benchmark_enable_random_interleaving=true";
  args.insert(args.begin() + 1, {repetitions.data(), min_time.data(), interleaved.data()});
  int count = static_cast<int>(args.size());
  benchmark::RegisterBenchmark(kPeak, run_peak);
  const std::vector<std::string> names = register_products();
  benchmark::Initialize(&count, args.data());
  Collector collector;
  benchmark::RunSpecifiedBenchmarks(&collector);
  if (collector.rates.count(kPeak) == 0 || collector.rates.count(kOwn) == 0) return 0;
  const double peak = median(collector.rates[kPeak]), own = median(collector.rates[kOwn]);
  fmt::print("\n{}, {}, one core, {}^3, medians of {} interleaved repetitions; fma peak {:.1f} GMAC/s\n",
             cpu_model(), instruction_set(), kSize, collector.rates[kPeak].size(), peak / 1e9);
  fmt::print("{:24} {:>8} {:>10} {:>16} {:>12}\n", "unit", "GMAC/s", "% of peak", "of own f32 (x)",
             "slow steps");
  for (const std::string& name : names) {
    if (collector.rates.count(name) == 0) continue;
    const double rate = median(collector.rates[name]);
    fmt::print("{:24} {:8.2f} {:10.1f} {:16.3f} {:11.4f}%\n", name, rate / 1e9, 100 * rate / peak, rate / own,
               100 * slow_share[name]);
  }
}
#endif  // HWY_ONCE
