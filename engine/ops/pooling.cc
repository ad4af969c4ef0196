#include "engine/ops/pooling.h"

#include <fmt/format.h>

#include "engine/base/error.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

void check_pair(const std::string& op, const OpCall& call, const std::string& key, int64_t smallest) {
  const std::vector<int64_t>& pair = call.attributes.integers(key);
  if (pair.size() != 2 || pair[0] < smallest || pair[1] < smallest) {
    throw Error(ErrorCode::kArgument, op,
                fmt::format("{} must be two sizes of at least {}, not {}", key, smallest, to_string(pair)));
  }
}

}  // namespace

Attributes pool_attributes(const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                           const std::vector<int64_t>& padding) {
  return {{"kernel", kernel}, {"stride", stride.empty() ? kernel : stride}, {"padding", padding}};
}

void check_pool(const std::string& op, const OpCall& call) {
  const Tensor& x = call.inputs[0];
  check_pair(op, call, "kernel", 1);
  check_pair(op, call, "stride", 1);
  check_pair(op, call, "padding", 0);
  if (!is_float(x.dtype())) throw Error(ErrorCode::kDtype, op, "x must be a float: " + x.describe());
  if (x.rank() != 4) throw Error(ErrorCode::kShape, op, "x must be [N, C, H, W]: " + x.describe());
  const PoolShape shape = pool_shape(call);
  if (2 * shape.padding_h > shape.kernel_h || 2 * shape.padding_w > shape.kernel_w) {
    throw Error(ErrorCode::kArgument, op,
                fmt::format("padding {} is more than half the kernel {}: a window would hold padding alone",
                            to_string(call.attributes.integers("padding")),
                            to_string(call.attributes.integers("kernel"))));
  }
  if (shape.height + 2 * shape.padding_h < shape.kernel_h ||
      shape.width + 2 * shape.padding_w < shape.kernel_w) {
    throw Error(ErrorCode::kShape, op,
                fmt::format("kernel {} does not fit into x {} with padding {}",
                            to_string(call.attributes.integers("kernel")), x.describe(),
                            to_string(call.attributes.integers("padding"))));
  }
}

PoolShape pool_shape(const OpCall& call) {
  const Shape& x = call.inputs[0].shape();
  const std::vector<int64_t>& kernel = call.attributes.integers("kernel");
  const std::vector<int64_t>& stride = call.attributes.integers("stride");
  const std::vector<int64_t>& padding = call.attributes.integers("padding");
  return {x[0] * x[1], x[2], x[3], kernel[0], kernel[1], stride[0], stride[1], padding[0], padding[1]};
}

Shape pool_output_shape(const OpCall& call) {
  const Shape& x = call.inputs[0].shape();
  const PoolShape shape = pool_shape(call);
  return {x[0], x[1], shape.out_height(), shape.out_width()};
}

std::vector<Sample> pool_samples(Fill fill) {
  return {
      {"one window", {sample_tensor({1, 1, 2, 2}, fill)}, pool_attributes({2, 2}, {}, {0, 0})},
      {"columns left over", {sample_tensor({2, 3, 7, 9}, fill)}, pool_attributes({2, 2}, {}, {0, 0})},
      {"overlapping, padded", {sample_tensor({2, 2, 9, 11}, fill)}, pool_attributes({3, 3}, {2, 2}, {1, 1})},
      {"stride 1", {sample_tensor({1, 2, 6, 21}, fill)}, pool_attributes({3, 4}, {1, 1}, {1, 2})},
      {"gaps", {sample_tensor({1, 2, 11, 13}, fill)}, pool_attributes({2, 1}, {3, 4}, {0, 0})},
      {"lenet", {sample_tensor({16, 6, 28, 28}, fill)}, pool_attributes({2, 2}, {}, {0, 0})},
  };
}

}  // namespace faultline
