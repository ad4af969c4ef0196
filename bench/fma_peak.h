#pragma once

#include "bench/suite.h"

namespace faultline::bench {

// The processor's own f32 fused multiply-adds, as many as it can do: GFLOP/s.
Contender fma_peak(int threads);

}  // namespace faultline::bench
