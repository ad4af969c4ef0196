#include "amp/gradients.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/ops/mul.h"
#include "engine/optim/clip.h"

namespace faultline::amp {
namespace {

// Whether a block holds an infinity or a NaN: the exponent's bits all set. Without an early exit it
// vectorises.
template <class T>
bool any_nonfinite(const T* values, int64_t count) {
  if constexpr (std::is_same_v<T, float>) {
    uint32_t any = 0;
    for (int64_t i = 0; i < count; ++i) {
      any |= (std::bit_cast<uint32_t>(values[i]) & 0x7f800000u) == 0x7f800000u;
    }
    return any != 0;
  } else {
    return std::any_of(values, values + count, [](T value) { return !std::isfinite(widen(value)); });
  }
}

// Returns the row-major index of the first infinity or NaN, or -1.
template <class T>
int64_t first_nonfinite(const T* values, int64_t count) {
  constexpr int64_t kBlock = 4096;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, count);
    if (!any_nonfinite(values + begin, end - begin)) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (!std::isfinite(widen(values[i]))) return i;
    }
  }
  return -1;
}

}  // namespace

Verdict scan(const std::vector<Variable>& parameters) {
  for (const Variable& parameter : parameters) {
    if (!parameter.grad().defined()) continue;
    const Tensor grad = parameter.grad().contiguous();
    const int64_t element =
        visit(grad.dtype(), [&]<class T>() { return first_nonfinite(grad.data<T>(), grad.size()); });
    if (element >= 0) return {true, parameter.name(), element, grad.at(element)};
  }
  return {};
}

Variable scale_loss(const Variable& loss, double scale) {
  if (loss.value().dtype() != Dtype::kF32) {
    throw Error(ErrorCode::kDtype, "scale_loss", "the loss must be f32, got " + loss.value().describe());
  }
  if (scale == 1) return loss;
  const Scope scope("scale_loss");
  return mul(loss, Variable(Tensor::full(loss.value().shape(), Dtype::kF32, scale)));
}

void unscale(const std::vector<Variable>& parameters, double scale) {
  if (scale == 1) return;
  const float factor = static_cast<float>(1 / scale);
  for (const Variable& parameter : parameters) {
    if (parameter.grad().defined()) scale_gradient(parameter, factor, "unscale");
  }
}

}  // namespace faultline::amp
