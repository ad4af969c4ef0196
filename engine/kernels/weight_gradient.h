#pragma once

#include "engine/kernels/packing.h"
#include "engine/kernels/planes.h"
#include "engine/mma/unit.h"

namespace faultline {

// A convolution's dw [OC, taps] from its image and dy, a matrix [N * OC, OH * OW], on a unit.
struct WeightGradient {
  const Conv2dShape& shape;
  const Planes& image;
  F32Matrix dy;
  Array dw;
};
void weight_gradient(const WeightGradient& gradient, const Unit& unit, Dtype input,
                     const Arithmetic& arithmetic);

}  // namespace faultline
