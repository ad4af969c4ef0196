// The loop under every element-wise op: an op brings one function on f32 vectors.
// Re-included once per instruction set: include it after hwy/foreach_target.h.
#if defined(FAULTLINE_KERNELS_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FAULTLINE_KERNELS_ELEMENTWISE_INL_H_
#undef FAULTLINE_KERNELS_ELEMENTWISE_INL_H_
#else
#define FAULTLINE_KERNELS_ELEMENTWISE_INL_H_
#endif

#include <utility>

#include "engine/base/parallel.h"
#include "engine/kernels/convert-inl.h"
#include "engine/kernels/elementwise.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {

// One operand within one run.
template <class T>
struct RunOperand {
  const T* data;
  bool advances;
  float value;  // of one that stands still

  template <class Vector>
  HWY_INLINE VF load(const Vector& vector, int64_t i) const {
    return advances ? vector.load(data + i) : hn::Set(DF(), value);
  }
};

template <class In, class Out, class F, size_t... k>
HWY_INLINE void MapRun(F f, const RunOperand<In> (&operands)[sizeof...(k)], Out* out, int64_t n,
                       std::index_sequence<k...>) {
  ForVectors(
      n, [&](auto vector, int64_t i) HWY_ATTR { vector.store(f(operands[k].load(vector, i)...), out + i); });
}

template <class In, class Out, size_t kOperands, class F>
void MapTyped(const ElementwiseCall& call, F f) {
  Out* out = static_cast<Out*>(call.result);
  const auto write = [&](int64_t begin, int64_t end) HWY_ATTR {
    call.plan.for_each_run(begin, end, [&](int64_t first, int64_t length, const auto& offsets) HWY_ATTR {
      RunOperand<In> operands[kOperands];
      for (size_t k = 0; k < kOperands; ++k) {
        const In* data = static_cast<const In*>(call.operands[k]) + offsets[k];
        const bool advances = call.plan.advances(static_cast<int>(k));
        operands[k] = {data, advances, advances ? 0.0f : to_f32(*data)};
      }
      MapRun(f, operands, out + first, length, std::make_index_sequence<kOperands>());
    });
  };
  parallel_for(call.kernel, call.plan.size(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
    write_in_pieces(call.pieces, out, {1, sizeof(Out)}, begin, end, write);
  });
}

// result[i] = f(operands[0][i], ...): operands widened to f32, one rounding to the result's format.
template <size_t kOperands, class F>
void MapElements(const ElementwiseCall& call, F f) {
  VisitKernelFormat(call.operand_dtype, [&]<class T>() HWY_ATTR {
    if (call.result_dtype == call.operand_dtype)
      MapTyped<T, T, kOperands>(call, f);
    else
      MapTyped<T, float, kOperands>(call, f);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#endif  // FAULTLINE_KERNELS_ELEMENTWISE_INL_H_
