#pragma once

#include <cmath>

#include "engine/numerics/math.h"

namespace faultline {

// The functions in which definitions are written: ours for T = float, the C library's for f64, which serves
// references and gradient checks alone.
inline float exponential(float x) { return exp_f32(x); }
inline double exponential(double x) { return std::exp(x); }
inline float logarithm(float x) { return log_f32(x); }
inline double logarithm(double x) { return std::log(x); }
inline float hyperbolic_tangent(float x) { return tanh_f32(x); }
inline double hyperbolic_tangent(double x) { return std::tanh(x); }
inline float logistic(float x) { return sigmoid_f32(x); }
inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }
inline float error_function(float x) { return erf_f32(x); }
inline double error_function(double x) { return std::erf(x); }

}  // namespace faultline
