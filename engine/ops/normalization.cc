#include "engine/ops/normalization.h"

#include <cmath>

#include "engine/base/error.h"
#include "engine/kernels/channel_sum.h"
#include "engine/kernels/normalize.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/product_reference.h"
#include "engine/ops/reduction.h"

namespace faultline {
namespace {

Dtype compute_format(const Tensor& x) { return x.dtype() == Dtype::kF64 ? Dtype::kF64 : Dtype::kF32; }

// A tensor of any rank as [samples, rows, channels, positions]: the kept axes are neighbours.
ChannelShape channel_shape(const Tensor& x, const std::vector<bool>& reduced) {
  ChannelShape shape{x.dim(0), 1, 1, 1};
  bool seen_kept = false;
  for (int axis = 1; axis < x.rank(); ++axis) {
    seen_kept |= !reduced[axis];
    (!reduced[axis] ? shape.channels : seen_kept ? shape.positions : shape.rows) *= x.dim(axis);
  }
  return shape;
}

Tensor gradient_sum_kernel(const Tensor& x, const std::vector<bool>& reduced, const Arithmetic& arithmetic) {
  Tensor sums = Tensor::empty(kept_shape(x.shape(), reduced), Dtype::kF32);
  channel_sum("norm.gradient", channel_shape(x, reduced), x.dtype(), x.raw(), arithmetic,
              sums.mutable_data<float>());
  return sums;
}

Tensor gradient_sum_reference(const Tensor& x, const std::vector<bool>& reduced,
                              const Arithmetic& arithmetic) {
  return visit_compute(x.dtype(), [&]<class T>() {
    const ChannelShape shape = channel_shape(x, reduced);
    const std::vector<T> values = widened<T>(x);
    std::vector<T> sums;
    for (int64_t c = 0; c < shape.channels; ++c) {
      const auto term = [&](int64_t i) {
        return values[(i / shape.positions * shape.channels + c) * shape.positions + i % shape.positions];
      };
      sums.push_back(reference_gradient_sum<T>(shape.samples, shape.terms_per_sample(), arithmetic, term));
    }
    return rounded(kept_shape(x.shape(), reduced), x.dtype(), sums);
  });
}

Tensor run(ElementwiseKernel kernel, const Shape& shape, const Tensors& operands) {
  return run_elementwise(kernel, "norm", shape, Dtype::kF32, operands);
}

Tensor map(const Shape& shape, auto f, const Tensor& first, const auto&... others) {
  return map_reference(shape, first.dtype(), f, first, others...);
}

double variance_roundoff(double relative_error) {
  return relative_error / (1 - std::min(relative_error, 0.5));
}

}  // namespace

const NormSteps kNormKernels = {
    .widened = [](const Tensor& x) { return converted(x, Dtype::kF32).contiguous(); },
    .rounded = converted,
    .sum = sum_axes,
    .sum_squares = sum_squares,
    .gradient_sum = gradient_sum_kernel,
    .subtract_mean =
        [](const Tensor& x, const Tensor& mean) {
          return run(subtract_mean, x.shape(), {x, mean});
        },
    .normalize =
        [](const Tensor& x, const Tensor& mean, const Tensor& r) {
          return run(normalize, x.shape(), {x, mean, r});
        },
    .scale_and_shift =
        [](const Tensor& xhat, const Tensor& gamma, const Tensor& beta) {
          return run(scale_and_shift, xhat.shape(), {xhat, gamma, beta});
        },
    .multiply =
        [](const Tensor& a, const Tensor& b) {
          return run(multiply, broadcast("norm", a.shape(), b.shape()), {a, b});
        },
    .gradient =
        [](const Tensor& scale, const Tensor& dy, const Tensor& m1, const Tensor& xhat, const Tensor& m2) {
          return run(normalization_gradient, dy.shape(), {scale, dy, m1, xhat, m2});
        },
};

const NormSteps kNormReference = {
    .widened = [](const Tensor& x) { return x.to(compute_format(x)); },
    .rounded = [](const Tensor& x, Dtype dtype) { return x.to(dtype); },
    .sum = sum_axes_reference,
    .sum_squares = sum_squares_reference,
    .gradient_sum = gradient_sum_reference,
    .subtract_mean =
        [](const Tensor& x, const Tensor& mean) {
          return map(
              x.shape(), [](auto v, auto m) { return v - m; }, x, mean);
        },
    .normalize =
        [](const Tensor& x, const Tensor& mean, const Tensor& r) {
          return map(
              x.shape(), [](auto v, auto m, auto s) { return (v - m) * s; }, x, mean, r);
        },
    .scale_and_shift =
        [](const Tensor& xhat, const Tensor& gamma, const Tensor& beta) {
          const auto step = [](auto v, auto g, auto b) { return std::fma(v, g, b); };
          return map(xhat.shape(), step, xhat, gamma, beta);
        },
    .multiply =
        [](const Tensor& a, const Tensor& b) {
          return map(
              broadcast("norm", a.shape(), b.shape()), [](auto v, auto w) { return v * w; }, a, b);
        },
    .gradient =
        [](const Tensor& scale, const Tensor& dy, const Tensor& m1, const Tensor& xhat, const Tensor& m2) {
          const auto step = [](auto s, auto g, auto a, auto v, auto b) { return s * (g - a - v * b); };
          return map(dy.shape(), step, scale, dy, m1, xhat, m2);
        },
};

Tensor divided(const Tensor& x, int64_t n) {
  return map(
      x.shape(), [n](auto v) { return v / static_cast<decltype(v)>(n); }, x);
}

Tensor reciprocal_deviation(const Tensor& var, double eps) {
  return map(
      var.shape(), [eps](auto v) { return 1 / std::sqrt(v + static_cast<decltype(v)>(eps)); }, var);
}

NormStatistics norm_statistics(const NormSteps& steps, const Tensor& x, const std::vector<bool>& reduced,
                               double eps) {
  const int64_t n = reduced_count(x.shape(), reduced);
  const Tensor mean = divided(steps.sum(x, reduced), n);
  const Tensor squares = steps.sum_squares(steps.subtract_mean(x, mean), reduced);
  return {mean, squares, reciprocal_deviation(divided(squares, n), eps)};
}

void check_norm_formats(const std::string& op, const Tensor& x, const Tensors& parameters) {
  if (!is_float(x.dtype())) throw Error(ErrorCode::kDtype, op, "x must be a float: " + x.describe());
  for (const Tensor& parameter : parameters) {
    if (parameter.dtype() == compute_format(x)) continue;
    throw Error(ErrorCode::kDtype, op,
                std::string("parameters and statistics must be ") + name(compute_format(x)) + " beside x " +
                    x.describe() + ": " + parameter.describe());
  }
}

// The rules of Higham 2002, section 3.1, followed through the formula; errors to second order where they can
// matter.
NormMoments norm_moments(const std::vector<double>& x, double sum_roundings) {
  const double n = static_cast<double>(x.size());
  NormMoments m{};
  double magnitude = 0;
  for (const double v : x) {
    m.mean += v / n;
    magnitude += std::fabs(v) / n;
  }
  m.mean_error = gamma_f32(sum_roundings + 1) * magnitude;
  double perturbed = 0;
  for (const double v : x) {
    const double deviation = v - m.mean;
    const double error = m.mean_error + gamma_f32(1) * (std::fabs(deviation) + m.mean_error);
    m.variance += deviation * deviation / n;
    m.variance_error += (2 * std::fabs(deviation) + error) * error / n;
    perturbed += (std::fabs(deviation) + error) * (std::fabs(deviation) + error) / n;
  }
  m.variance_error += gamma_f32(sum_roundings + 1) * perturbed;
  return m;
}

double normalized_error(double x, const NormMoments& m, double eps, double gamma, double beta, Dtype dtype) {
  const double u = unit_roundoff(Dtype::kF32), r = 1 / std::sqrt(m.variance + eps);
  const double r_error = variance_roundoff(m.variance_error / (m.variance + eps) + 2 * u) + gamma_f32(2);
  const double deviation = std::fabs(x - m.mean);
  const double deviation_error = m.mean_error + u * (deviation + m.mean_error);
  double xhat_error = (deviation_error * (1 + r_error) + deviation * r_error) * r;
  xhat_error += u * (deviation * r + xhat_error);
  const double y = (x - m.mean) * r * gamma + beta, error = std::fabs(gamma) * xhat_error;
  return rounded_error(y, error + u * (std::fabs(y) + error), dtype);
}

}  // namespace faultline
