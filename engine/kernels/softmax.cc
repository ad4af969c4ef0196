#include "engine/kernels/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/softmax.cc"
#include <hwy/foreach_target.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/convert-inl.h"
#include "engine/kernels/elementwise.h"
#include "engine/kernels/lanes-inl.h"
#include "engine/kernels/math-inl.h"
#include "engine/numerics/math.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

// Calls body(row) for every row of a result.
template <class T, class Body>
void ForRows(const char* kernel, const SoftmaxRows& shape, const T* result, Body body) {
  write_rows(kernel, shape.rows, {shape.columns, sizeof(T)}, result, shape.pieces, body);
}

// The larger one; a NaN if either is.
HWY_INLINE VF MaxOrNan(VF a, VF b) { return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(b)), b, a); }

template <class T>
float RowMax(const T* x, int64_t n) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float lanes[hn::MaxLanes(DF())];
  hn::StoreU(hn::Set(DF(), kLowest), DF(), lanes);
  ForVectors(n, [&](auto vector, int64_t i)
                    HWY_ATTR { vector.store(MaxOrNan(vector.load(lanes), vector.load(x + i)), lanes); });
  float max = kLowest;
  for (const float lane : lanes) max = max < lane || std::isnan(lane) ? lane : max;
  return max;
}

// What every form of softmax needs of one row.
struct Row {
  float max, sum;
  std::vector<float> shifted, exponentials;

  template <class T>
  void read(const T* x, int64_t n) {
    shifted.resize(static_cast<size_t>(n));
    exponentials.resize(static_cast<size_t>(n));
    max = RowMax(x, n);
    ForVectors(n, [&](auto vector, int64_t i) HWY_ATTR {
      const VF difference = hn::Sub(vector.load(x + i), hn::Set(DF(), max));
      vector.store(difference, &shifted[i]);
      vector.store(Exp(DF(), difference), &exponentials[i]);
    });
    LaneSum total;
    total.add(exponentials.data(), n);
    sum = total.total();
  }

  template <class To>
  void store_softmax(To* y) const {
    ForVectors(static_cast<int64_t>(shifted.size()), [&](auto vector, int64_t i) HWY_ATTR {
      vector.store(hn::Div(vector.load(&exponentials[i]), hn::Set(DF(), sum)), y + i);
    });
  }
};

void softmax(const SoftmaxRows& shape, const void* x, void* y) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR {
    ForRows("softmax", shape, static_cast<T*>(y), [&](int64_t row) HWY_ATTR {
      thread_local Row values;
      values.read(static_cast<const T*>(x) + row * shape.columns, shape.columns);
      values.store_softmax(static_cast<T*>(y) + row * shape.columns);
    });
  });
}

void log_softmax(const SoftmaxRows& shape, const void* x, void* y) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR {
    ForRows("log_softmax", shape, static_cast<T*>(y), [&](int64_t row) HWY_ATTR {
      thread_local Row values;
      values.read(static_cast<const T*>(x) + row * shape.columns, shape.columns);
      T* to = static_cast<T*>(y) + row * shape.columns;
      const VF log_sum = hn::Set(DF(), log_f32(values.sum));
      ForVectors(shape.columns, [&](auto vector, int64_t i) HWY_ATTR {
        vector.store(hn::Sub(vector.load(&values.shifted[i]), log_sum), to + i);
      });
    });
  });
}

void softmax_gradient(const SoftmaxRows& shape, const void* dy_bytes, const void* y_bytes, void* dx_bytes) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR {
    ForRows("softmax", shape, static_cast<T*>(dx_bytes), [&](int64_t row) HWY_ATTR {
      const T* dy = static_cast<const T*>(dy_bytes) + row * shape.columns;
      const T* y = static_cast<const T*>(y_bytes) + row * shape.columns;
      T* dx = static_cast<T*>(dx_bytes) + row * shape.columns;
      LaneSum products;
      products.add(shape.columns, [&](auto vector, int64_t i)
                                      HWY_ATTR { return hn::Mul(vector.load(dy + i), vector.load(y + i)); });
      const VF sum = hn::Set(DF(), products.total());
      ForVectors(shape.columns, [&](auto vector, int64_t i) HWY_ATTR {
        vector.store(hn::Mul(vector.load(y + i), hn::Sub(vector.load(dy + i), sum)), dx + i);
      });
    });
  });
}

void log_softmax_gradient(const SoftmaxRows& shape, const void* dy_bytes, const void* y_bytes,
                          void* dx_bytes) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR {
    ForRows("log_softmax", shape, static_cast<T*>(dx_bytes), [&](int64_t row) HWY_ATTR {
      const T* dy = static_cast<const T*>(dy_bytes) + row * shape.columns;
      const T* y = static_cast<const T*>(y_bytes) + row * shape.columns;
      T* dx = static_cast<T*>(dx_bytes) + row * shape.columns;
      LaneSum total;
      total.add(dy, shape.columns);
      const VF sum = hn::Set(DF(), total.total());
      ForVectors(shape.columns, [&](auto vector, int64_t i) HWY_ATTR {
        const VF p = Exp(DF(), vector.load(y + i));
        vector.store(hn::Sub(vector.load(dy + i), hn::Mul(p, sum)), dx + i);
      });
    });
  });
}

void cross_entropy(const SoftmaxRows& shape, const void* x, const int32_t* labels, float* losses, float* p) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR {
    ForRows("cross_entropy", shape, p, [&](int64_t row) HWY_ATTR {
      thread_local Row values;
      values.read(static_cast<const T*>(x) + row * shape.columns, shape.columns);
      values.store_softmax(p + row * shape.columns);
      losses[row] = -(values.shifted[labels[row]] - log_f32(values.sum));
    });
  });
}

void cross_entropy_gradient(const SoftmaxRows& shape, const float* p, const int32_t* labels, float scale,
                            void* dx) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR {
    ForRows("cross_entropy", shape, static_cast<T*>(dx), [&](int64_t row) HWY_ATTR {
      thread_local std::vector<float> difference;
      difference.assign(p + row * shape.columns, p + (row + 1) * shape.columns);
      difference[labels[row]] -= 1.0f;
      T* to = static_cast<T*>(dx) + row * shape.columns;
      ForVectors(shape.columns, [&](auto vector, int64_t i) HWY_ATTR {
        vector.store(hn::Mul(vector.load(&difference[i]), hn::Set(DF(), scale)), to + i);
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

HWY_EXPORT(softmax);
HWY_EXPORT(log_softmax);
HWY_EXPORT(softmax_gradient);
HWY_EXPORT(log_softmax_gradient);
HWY_EXPORT(cross_entropy);
HWY_EXPORT(cross_entropy_gradient);

}  // namespace

void SoftmaxRows::softmax(const void* x, void* y) const { HWY_DYNAMIC_DISPATCH(softmax)(*this, x, y); }

void SoftmaxRows::log_softmax(const void* x, void* y) const {
  HWY_DYNAMIC_DISPATCH(log_softmax)(*this, x, y);
}

void SoftmaxRows::softmax_gradient(const void* dy, const void* y, void* dx) const {
  HWY_DYNAMIC_DISPATCH(softmax_gradient)(*this, dy, y, dx);
}

void SoftmaxRows::log_softmax_gradient(const void* dy, const void* y, void* dx) const {
  HWY_DYNAMIC_DISPATCH(log_softmax_gradient)(*this, dy, y, dx);
}

void SoftmaxRows::cross_entropy(const void* x, const int32_t* labels, float* losses, float* p) const {
  HWY_DYNAMIC_DISPATCH(cross_entropy)(*this, x, labels, losses, p);
}

void SoftmaxRows::cross_entropy_gradient(const float* p, const int32_t* labels, float scale, void* dx) const {
  HWY_DYNAMIC_DISPATCH(cross_entropy_gradient)(*this, p, labels, scale, dx);
}

}  // namespace faultline
#endif  // HWY_ONCE
