#include "engine/ops/log_softmax.h"

#include <cmath>

#include "engine/ops/error_bound.h"
#include "engine/ops/softmax_rows.h"

namespace faultline {
namespace {

struct LogSoftmax {
  template <class T>
  static void forward(const T* x, T* y, int64_t n) {
    const SoftmaxRow<T> row(x, n);
    const T log_sum = logarithm(row.sum);
    for (int64_t i = 0; i < n; ++i) y[i] = row.shifted[i] - log_sum;
  }
  template <class T>
  static void gradient(const T* dy, const T* y, T* dx, int64_t n) {
    const T sum = lane_sum<T>(n, [&](int64_t i) { return dy[i]; });
    for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] - exponential(y[i]) * sum;
  }
};

const RegisteredOp kLogSoftmax{
    "log_softmax",
    softmax_op<LogSoftmax>({.name = "log_softmax",
                            .forward = &SoftmaxRows::log_softmax,
                            .gradient = &SoftmaxRows::log_softmax_gradient,
                            .error = [](double y, double range, double n) {
                              return gamma_f32(2 * range + n / 64 + 10 + 2 * std::log(n) + std::fabs(y));
                            }})};

}  // namespace

Variable log_softmax(const Variable& x, int axis) {
  return apply(*kLogSoftmax, {x}, {{"axis", int64_t{axis}}})[0];
}

}  // namespace faultline
