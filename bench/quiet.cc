#include "bench/quiet.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/product.h"

namespace faultline::bench {
namespace {

using Clock = std::chrono::steady_clock;

// A product whose operands stay in the second cache, so often that one look takes about a millisecond.
constexpr int64_t kSize = 96, kTimes = 60;
// How much slower a look may be than the fastest one: a shared core makes it a third slower.
constexpr double kAsFast = 1.1;
// A processor that has rested is slow at first; so many looks find its speed.
constexpr int kFirstLooks = 100;
// A neighbour may rest for a moment.
constexpr int kLooks = 5;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

double Quiet::small_products(int threads) {
  std::vector<double> seconds(threads);
  parallel_for("quiet", threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread) {
      const std::vector<float> a(kSize * kSize, 1.5f), b(kSize * kSize, 0.5f);
      std::vector<float> c(kSize * kSize);
      ProductArgs args{
          kSize, kSize, kSize, {a.data(), Dtype::kF32, kSize, 1}, {b.data(), Dtype::kF32, kSize, 1}};
      args.out = c.data();
      args.out_row_stride = kSize;
      const auto start = Clock::now();
      for (int64_t i = 0; i < kTimes; ++i) product("quiet", args);
      seconds[thread] = seconds_since(start);
    }
  });
  return *std::max_element(seconds.begin(), seconds.end());
}

void Quiet::wait(int threads) {
  if (patience_s_ <= 0) return;
  if (fastest_s_.count(threads) == 0) {
    fastest_s_[threads] = look_(threads);
    for (int i = 1; i < kFirstLooks; ++i) fastest_s_[threads] = std::min(fastest_s_[threads], look_(threads));
  }
  double& fastest = fastest_s_[threads];
  const auto is_quiet = [&] {
    double slowest = 0;
    for (int i = 0; i < kLooks; ++i) {
      const double seconds = look_(threads);
      fastest = std::min(fastest, seconds);
      slowest = std::max(slowest, seconds);
    }
    return slowest <= kAsFast * fastest;
  };
  if (is_quiet()) return;
  const auto start = Clock::now();
  const double left_s = patience_s_ - waited_s_;
  bool quiet = false;
  while (!quiet && seconds_since(start) < left_s) quiet = is_quiet();
  if (!quiet) ++in_vain_;
  waited_s_ += seconds_since(start);
}

}  // namespace faultline::bench
