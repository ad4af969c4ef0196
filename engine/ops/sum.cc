#include "engine/ops/sum.h"

#include "engine/ops/axis_reduction.h"

namespace faultline {
namespace {

const RegisteredOp kSum{
    "sum", axis_reduction_op({.name = "sum", .numeric_class = NumericClass::kF32, .divides = false})};

}  // namespace

Variable sum(const Variable& x, const std::vector<int64_t>& axes, bool keepdim) {
  return apply(*kSum, {x}, {{"axes", axes}, {"keepdim", int64_t{keepdim}}})[0];
}

}  // namespace faultline
