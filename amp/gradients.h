#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/autograd/variable.h"

namespace faultline::amp {

// Whether a gradient is infinite or NaN, and the first such element: by order of the parameters, then
// row-major.
struct Verdict {
  bool overflow = false;
  std::string parameter;
  int64_t element = -1;
  double value = 0;  // the element, infinite or NaN
};
Verdict scan(const std::vector<Variable>& parameters);

// Returns loss * f32(scale), one f32 multiplication; the loss itself if scale is 1.
// Throws kDtype if the loss is not f32: 2^16 is no f16 (peers.md A4).
Variable scale_loss(const Variable& loss, double scale);

// Multiplies every gradient by f32(1 / f64(scale)) as an op "<parameter>/unscale"; nothing if scale is 1.
// Only for gradients that scan() found finite: on overflow they stay scaled (numerics.md 2.7).
void unscale(const std::vector<Variable>& parameters, double scale);

}  // namespace faultline::amp
