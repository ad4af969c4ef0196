#include "engine/kernels/broadcast.h"

namespace faultline {
namespace {

// Row-major strides of `shape` over the axes of `result`: 0 where it is broadcast.
std::vector<int64_t> broadcast_strides(const std::vector<int64_t>& result,
                                       const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(result.size(), 0);
  int64_t stride = 1;
  for (size_t i = 1; i <= shape.size(); ++i) {
    const int64_t size = shape[shape.size() - i];
    if (size != 1) strides[result.size() - i] = stride;
    stride *= size;
  }
  return strides;
}

}  // namespace

BroadcastPlan::BroadcastPlan(const std::vector<int64_t>& result,
                             const std::vector<std::vector<int64_t>>& operands)
    : strides_(operands.size()) {
  std::vector<std::vector<int64_t>> all;
  for (const std::vector<int64_t>& shape : operands) all.push_back(broadcast_strides(result, shape));
  for (size_t axis = 0; axis < result.size(); ++axis) {
    size_ *= result[axis];
    if (result[axis] == 1) continue;
    bool merges = !sizes_.empty();
    for (size_t k = 0; merges && k < all.size(); ++k) {
      merges = strides_[k].back() == all[k][axis] * result[axis];
    }
    if (!merges) {
      sizes_.push_back(1);
      for (std::vector<int64_t>& strides : strides_) strides.push_back(0);
    }
    sizes_.back() *= result[axis];
    for (size_t k = 0; k < all.size(); ++k) strides_[k].back() = all[k][axis];
  }
  if (sizes_.empty()) {
    sizes_.push_back(1);
    for (std::vector<int64_t>& strides : strides_) strides.push_back(0);
  }
}

std::array<int64_t, BroadcastPlan::kMaxOperands> BroadcastPlan::offsets(int64_t index) const {
  std::array<int64_t, kMaxOperands> offsets{};
  for (size_t axis = sizes_.size(); axis-- > 0;) {
    const int64_t i = index % sizes_[axis];
    index /= sizes_[axis];
    for (size_t k = 0; k < strides_.size(); ++k) offsets[k] += i * strides_[k][axis];
  }
  return offsets;
}

}  // namespace faultline
