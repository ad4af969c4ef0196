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
// Error: at most 0.92 ulp over all f32 arguments.
float log_f32(float x);

// Returns the hyperbolic tangent; odd, tanh_f32(-0) = -0.
// Error: at most 1.39 ulp over all f32 arguments.
float tanh_f32(float x);

// Returns 1 / (1 + e^-x).
// Error: at most 2.29 ulp over all f32 arguments.
float sigmoid_f32(float x);

// Returns the error function; odd, erf_f32(-0) = -0.
// Error: at most 1.00 ulp over all f32 arguments.
float erf_f32(float x);

}  // namespace faultline
