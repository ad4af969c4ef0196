#include "engine/ops/softmax.h"

#include "engine/ops/error_bound.h"
#include "engine/ops/softmax_rows.h"

namespace faultline {
namespace {

struct Softmax {
  template <class T>
  static void forward(const T* x, T* y, int64_t n) {
    const SoftmaxRow<T> row(x, n);
    for (int64_t i = 0; i < n; ++i) y[i] = row.exponentials[i] / row.sum;
  }
  template <class T>
  static void gradient(const T* dy, const T* y, T* dx, int64_t n) {
    const T sum = lane_sum<T>(n, [&](int64_t i) { return dy[i] * y[i]; });
    for (int64_t i = 0; i < n; ++i) dx[i] = y[i] * (dy[i] - sum);
  }
};

const RegisteredOp kSoftmax{"softmax", softmax_op<Softmax>({.name = "softmax",
                                                            .forward = &SoftmaxRows::softmax,
                                                            .gradient = &SoftmaxRows::softmax_gradient,
                                                            .error = [](double y, double range, double n) {
                                                              return gamma_f32(2 * range + n / 64 + 12) * y;
                                                            }})};

}  // namespace

Variable softmax(const Variable& x, int axis) { return apply(*kSoftmax, {x}, {{"axis", int64_t{axis}}})[0]; }

}  // namespace faultline
