#pragma once

#include "engine/numerics/math.h"

namespace faultline {

// The functions of numerics.md 2.4 under one name for both types in which definitions are written.
inline float exponential(float x) { return exp_f32(x); }
inline double exponential(double x) { return exp_f64(x); }
inline float logarithm(float x) { return log_f32(x); }
inline double logarithm(double x) { return log_f64(x); }
inline float hyperbolic_tangent(float x) { return tanh_f32(x); }
inline double hyperbolic_tangent(double x) { return tanh_f64(x); }
inline float logistic(float x) { return sigmoid_f32(x); }
inline double logistic(double x) { return sigmoid_f64(x); }
inline float error_function(float x) { return erf_f32(x); }
inline double error_function(double x) { return erf_f64(x); }

constexpr double kInverseSqrt2 = 0.70710678118654752440;
constexpr double kInverseSqrt2Pi = 0.39894228040143267794;

}  // namespace faultline
