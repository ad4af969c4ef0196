#pragma once

#include "engine/autograd/op.h"

namespace faultline {

// What sum and mean share, which is all but the division by the number of terms.
struct AxisReductionOp {
  const char* name;
  NumericClass numeric_class;
  bool divides;
};

OpDef axis_reduction_op(const AxisReductionOp& op);

}  // namespace faultline
