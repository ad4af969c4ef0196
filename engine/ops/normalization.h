#pragma once

#include <vector>

#include "engine/autograd/op.h"

namespace faultline {

// What batch and layer norm share. Both are compositions of a few steps on f32 tensors that broadcast to x;
// the kernels and the definition bring those steps, so that the composition is written once.
struct NormSteps {
  Tensor (*widened)(const Tensor& x);  // f32; f64 stays
  Tensor (*rounded)(const Tensor& x, Dtype dtype);
  Tensor (*sum)(const Tensor& x, const std::vector<bool>& reduced);
  Tensor (*sum_squares)(const Tensor& x, const std::vector<bool>& reduced);
  // In the order of a gradient; axis 0 is reduced, the kept axes are neighbours.
  Tensor (*gradient_sum)(const Tensor& x, const std::vector<bool>& reduced, const Arithmetic& arithmetic);
  Tensor (*subtract_mean)(const Tensor& x, const Tensor& mean);
  Tensor (*normalize)(const Tensor& x, const Tensor& mean, const Tensor& r);  // (x - mean) * r
  Tensor (*scale_and_shift)(const Tensor& xhat, const Tensor& gamma, const Tensor& beta);
  Tensor (*multiply)(const Tensor& a, const Tensor& b);
  // scale * (dy - m1 - xhat * m2)
  Tensor (*gradient)(const Tensor& scale, const Tensor& dy, const Tensor& m1, const Tensor& xhat,
                     const Tensor& m2);
};
extern const NormSteps kNormKernels, kNormReference;

// Statistics of groups of elements, each [.., 1, ..] of sizes 1 along the reduced axes.
struct NormStatistics {
  Tensor mean, squares, r;  // squares: the sum of (x - mean)^2; r = 1 / sqrt(squares / n + eps)
};
NormStatistics norm_statistics(const NormSteps& steps, const Tensor& x, const std::vector<bool>& reduced,
                               double eps);
// 1 / sqrt(var + eps)
Tensor reciprocal_deviation(const Tensor& var, double eps);
// x / n
Tensor divided(const Tensor& x, int64_t n);

// Throws kDtype unless x is a float and the parameters are f32 (f64 where it is f64).
void check_norm_formats(const std::string& op, const Tensor& x, const Tensors& parameters);

// A bound of the error of the statistics of one group of n values, as f64.
struct NormMoments {
  double mean, mean_error, variance, variance_error;
};
NormMoments norm_moments(const std::vector<double>& x, double sum_roundings);

// Bound of |got - exact| for y = fma((x - mean) * r, gamma, beta), rounded once to `dtype`.
double normalized_error(double x, const NormMoments& moments, double eps, double gamma, double beta,
                        Dtype dtype);

}  // namespace faultline
