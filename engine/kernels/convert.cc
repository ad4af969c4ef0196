#include "engine/kernels/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/convert.cc"
#include <hwy/foreach_target.h>

#include "engine/base/parallel.h"
#include "engine/kernels/convert-inl.h"
#include "engine/kernels/elementwise.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

void convert_kernel(Dtype from_dtype, const void* from_bytes, Dtype to_dtype, void* to_bytes, int64_t n,
                    ResultPieces* pieces) {
  VisitKernelFormat(from_dtype, [&]<class From>() HWY_ATTR {
    VisitKernelFormat(to_dtype, [&]<class To>() HWY_ATTR {
      const From* from = static_cast<const From*>(from_bytes);
      To* to = static_cast<To*>(to_bytes);
      const auto write = [=](int64_t begin, int64_t end) HWY_ATTR {
        ForVectors(end - begin, [=](auto vector, int64_t i) HWY_ATTR {
          vector.store(vector.load(from + begin + i), to + begin + i);
        });
      };
      parallel_for("convert", n, kElementwiseGrain, [&](int64_t begin, int64_t end) {
        write_in_pieces(pieces, to, {1, sizeof(To)}, begin, end, write);
      });
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(convert_kernel);

}  // namespace

void convert_elements(Dtype from_dtype, const void* from, Dtype to_dtype, void* to, int64_t n,
                      ResultPieces* pieces) {
  HWY_DYNAMIC_DISPATCH(convert_kernel)(from_dtype, from, to_dtype, to, n, pieces);
}

}  // namespace faultline
#endif  // HWY_ONCE
