#include "bench/fma_peak.h"

#include <benchmark/benchmark.h>

#include <cstdint>

#include "engine/base/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/fma_peak.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace faultline::bench {
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
}  // namespace faultline::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline::bench {

HWY_EXPORT(MultiplyAdds);

Contender fma_peak(int threads) {
  const auto run = [] {
    float out[12 * 16] = {0.999f, 1e-3f};
    const int64_t count = HWY_DYNAMIC_DISPATCH(MultiplyAdds)(out);
    benchmark::DoNotOptimize(out);
    return count;
  };
  const double work = 2e-9 * static_cast<double>(run() * threads);
  const auto body = [=] { parallel_for("fma_peak", threads, 1, [&](int64_t, int64_t) { run(); }); };
  return {"fma peak", body, {}, work};
}

}  // namespace faultline::bench
#endif  // HWY_ONCE
