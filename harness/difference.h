#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace faultline::harness {

// How two tensors differ, element by element. NaNs are equal, +0 and -0 are not (numerics.md 2.9).
struct TensorDifference {
  int64_t first = -1;       // row-major index of the first element that differs; -1: none
  int64_t differing = 0;    // elements that differ
  int64_t largest_ulp = 0;  // of an element; INT64_MAX where one side is NaN
  double largest = 0;       // largest |a - b|; infinite where one side is not finite
};

// Returns how a and b differ.
// Throws:      kShape, kDtype if they are not alike.
TensorDifference difference(const Tensor& a, const Tensor& b);

}  // namespace faultline::harness
