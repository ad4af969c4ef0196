#include "engine/mma/fp8_on_f16.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "engine/mma/fused_dot_product.h"

namespace faultline {
namespace {

constexpr int64_t kDepth = 32;  // of the instruction

// Which k the i-th term of the two steps is.
constexpr int64_t k_of(int64_t i) { return i % 16 / 2 * 4 + i / 16 * 2 + i % 2; }

float added(Dtype accumulate, float x, float y) {
  const bool f16 = accumulate == Dtype::kF16;
  const float sum = f16 ? to_f32(f16_from_f64(double{x} + double{y})) : x + y;
  if (!std::isnan(sum)) return sum;
  return f16 ? to_f32(F16{0x7fff}) : std::bit_cast<float>(0x7fffffffu);
}

}  // namespace

float fp8_on_f16_dot(const StepRule& f16, const float* a, const float* b, int64_t k, float c) {
  for (int64_t begin = 0; begin < k; begin += kDepth) {
    float left[kDepth] = {}, right[kDepth] = {};
    for (int64_t i = 0; i < kDepth; ++i) {
      const int64_t at = begin + k_of(i);
      if (at < k) left[i] = a[at], right[i] = b[at];
    }
    c = added(f16.accumulate, fused_dot(f16, left, right, kDepth, 0.0f), c);
  }
  return c;
}

void fp8_on_f16_product(const StepRule& f16, int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                        float* c) {
  std::vector<float> left(M * kDepth), right(kDepth * N), sums(M * N);
  std::fill_n(c, M * N, 0.0f);
  for (int64_t begin = 0; begin < K; begin += kDepth) {
    for (int64_t i = 0; i < kDepth; ++i) {
      const int64_t at = begin + k_of(i);
      for (int64_t m = 0; m < M; ++m) left[m * kDepth + i] = at < K ? a[m * K + at] : 0.0f;
      for (int64_t n = 0; n < N; ++n) right[i * N + n] = at < K ? b[at * N + n] : 0.0f;
    }
    fused_dot_product(f16, M, N, kDepth, left.data(), right.data(), sums.data());
    for (int64_t i = 0; i < M * N; ++i) c[i] = added(f16.accumulate, sums[i], c[i]);
  }
}

}  // namespace faultline
