#include "engine/ops/elementwise.h"

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/kernels/convert.h"

namespace faultline {

Tensor run_elementwise(ElementwiseKernel kernel, const char* name, const Shape& shape, Dtype result,
                       const Tensors& operands) {
  Tensors contiguous;
  std::vector<Shape> shapes;
  for (const Tensor& operand : operands) {
    contiguous.push_back(operand.contiguous());
    shapes.push_back(operand.shape());
  }
  Tensor out = Tensor::empty(shape, result);
  const BroadcastPlan plan(shape, shapes);
  ElementwiseCall call{name, plan, operands[0].dtype(), result, {}, out.mutable_raw(), pieces_of(out)};
  for (size_t k = 0; k < contiguous.size(); ++k) call.operands[k] = contiguous[k].raw();
  kernel(call);
  return out;
}

Tensor converted(const Tensor& x, Dtype dtype) {
  if (x.dtype() == dtype || x.dtype() == Dtype::kF64 || dtype == Dtype::kF64) return x.to(dtype);
  const Tensor from = x.contiguous();
  Tensor to = Tensor::empty(x.shape(), dtype);
  convert_elements(from.dtype(), from.raw(), dtype, to.mutable_raw(), from.size(), pieces_of(to));
  return to;
}

void check_one_float_format(const std::string& op, const Tensors& inputs) {
  for (const Tensor& input : inputs) {
    if (!is_float(input.dtype()) || input.dtype() != inputs[0].dtype()) {
      std::vector<std::string> texts;
      for (const Tensor& each : inputs) texts.push_back(each.describe());
      throw Error(ErrorCode::kDtype, op, "inputs must be floats of one format: " + join(texts, ", "));
    }
  }
}

}  // namespace faultline
