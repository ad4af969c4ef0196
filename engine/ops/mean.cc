#include "engine/ops/mean.h"

#include "engine/ops/axis_reduction.h"

namespace faultline {
namespace {

const RegisteredOp kMean{
    "mean", axis_reduction_op({.name = "mean", .numeric_class = NumericClass::kAsIs, .divides = true})};

}  // namespace

Variable mean(const Variable& x, const std::vector<int64_t>& axes, bool keepdim) {
  return apply(*kMean, {x}, {{"axes", axes}, {"keepdim", int64_t{keepdim}}})[0];
}

}  // namespace faultline
