#pragma once

#include <array>

#include "engine/kernels/broadcast.h"
#include "engine/numerics/dtype.h"

namespace faultline {

// One call of an element-wise kernel: contiguous operands of one format over a contiguous result of that
// format or of f32.
struct ElementwiseCall {
  const char* kernel;  // its name in the statistics of parallel_for
  const BroadcastPlan& plan;
  Dtype operand_dtype, result_dtype;
  std::array<const void*, BroadcastPlan::kMaxOperands> operands;
  void* result;
};

using ElementwiseKernel = void (*)(const ElementwiseCall&);

// Elements for which another thread is worth waking.
constexpr int64_t kElementwiseGrain = 16384;

}  // namespace faultline
