#pragma once

// Elementary functions whose bits are ours (numerics.md 2.4): one polynomial each, explicit fma, no libm, so
// the same argument gives the same result on every compiler, instruction set and machine.
//
// For all of them: subnormals are kept, overflow gives infinity, a NaN and an argument outside the domain
// give the positive quiet NaN without payload (7fc00000, 7ff8000000000000), and nothing traps or sets a mode.
// The Highway forms of the f32 functions, equal in every bit, are in engine/kernels/math-inl.h.

namespace faultline {

// Returns e^x. exp_f32(-inf) = +0.
// Error: at most 0.98 ulp over all f32 arguments.
float exp_f32(float x);

// Returns the natural logarithm. log_f32(+-0) = -inf; a negative argument gives NaN.
// Error: at most 0.95 ulp over all f32 arguments.
float log_f32(float x);

// Returns the hyperbolic tangent; odd, tanh_f32(-0) = -0.
// Error: at most 1.43 ulp over all f32 arguments.
float tanh_f32(float x);

// Returns 1 / (1 + e^-x).
// Error: at most 2.41 ulp over all f32 arguments.
float sigmoid_f32(float x);

// Returns the error function; odd, erf_f32(-0) = -0.
// Error: at most 1.03 ulp over all f32 arguments.
float erf_f32(float x);

// The same in f64, for schedules, initialisers and random numbers.
// pow_f64 has the special values of IEEE 754-2019 9.2.1: pow(x, 0) = pow(1, y) = 1 even beside a NaN.
// Error: exp 0.75, log 0.51, pow 0.75 ulp, the worst of the tests' random arguments.
double exp_f64(double x);
double log_f64(double x);
double pow_f64(double x, double y);

// Return the sine and cosine of x radians, for any finite x; infinities give NaN, sin_f64(-0) = -0.
// Error: 0.75 ulp, the worst of the tests' random arguments.
double sin_f64(double x);
double cos_f64(double x);

// The activations in f64, for references and gradient checks.
// Error: tanh 1.5, sigmoid 2.5, erf 5 ulp, the worst of the tests' random arguments.
double tanh_f64(double x);
double sigmoid_f64(double x);
double erf_f64(double x);

}  // namespace faultline
