#include "engine/kernels/layer_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/layer_norm.cc"
#include <hwy/foreach_target.h>

#include <cmath>

#include "engine/kernels/elementwise.h"
#include "engine/kernels/lanes-inl.h"
#include "engine/kernels/normalize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

template <class T>
void ForwardRow(int64_t n, int64_t row, const LayerNormForward& call) {
  const T* const x = static_cast<const T*>(call.x) + row * n;
  T* const y = static_cast<T*>(call.y) + row * n;
  const DF d;
  LaneSum sum, squares;
  sum.add(x, n);
  call.mean[row] = sum.total() / static_cast<float>(n);
  const VF mean = hn::Set(d, call.mean[row]);
  squares.fold(n, [=](VF lanes, auto vector, int64_t i)
                      HWY_ATTR { return AddDeviation(lanes, vector.load(x + i), mean); });
  call.r[row] = 1 / std::sqrt(squares.total() / static_cast<float>(n) + call.eps);
  const VF r = hn::Set(d, call.r[row]);
  const float *const gamma = call.gamma, *const beta = call.beta;
  ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
    const VF xhat = Normalized(vector.load(x + i), mean, r);
    vector.store(hn::MulAdd(xhat, vector.load(gamma + i), vector.load(beta + i)), y + i);
  });
}

template <class T>
void BackwardRow(int64_t n, int64_t row, const LayerNormBackward& call) {
  const T *const x = static_cast<const T*>(call.x) + row * n, *const dy =
                                                                  static_cast<const T*>(call.dy) + row * n;
  T* const dx = static_cast<T*>(call.dx) + row * n;
  const float* const gamma = call.gamma;
  const DF d;
  const VF mean = hn::Set(d, call.mean[row]), r = hn::Set(d, call.r[row]);
  const auto gradient = [=](auto vector, int64_t i)
                            HWY_ATTR { return hn::Mul(vector.load(dy + i), vector.load(gamma + i)); };
  const auto xhat = [=](auto vector, int64_t i) HWY_ATTR { return Normalized(vector.load(x + i), mean, r); };
  LaneSum sum, products;
  sum.add(n, gradient);
  products.add(
      n, [=](auto vector, int64_t i) HWY_ATTR { return hn::Mul(gradient(vector, i), xhat(vector, i)); });
  const VF m1 = hn::Set(d, sum.total() / static_cast<float>(n)),
           m2 = hn::Set(d, products.total() / static_cast<float>(n));
  ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
    vector.store(GradientOfNormalized(r, gradient(vector, i), m1, xhat(vector, i), m2), dx + i);
  });
}

void forward_row(const LayerNormShape& shape, int64_t row, const LayerNormForward& call) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR { ForwardRow<T>(shape.n, row, call); });
}

void backward_row(const LayerNormShape& shape, int64_t row, const LayerNormBackward& call) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR { BackwardRow<T>(shape.n, row, call); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(forward_row);
HWY_EXPORT(backward_row);

ResultItem row_of(const LayerNormShape& shape) { return {shape.n, size_bytes(shape.dtype)}; }

}  // namespace

void layer_norm_forward(const LayerNormShape& shape, const LayerNormForward& call) {
  write_rows("layer_norm", shape.rows, row_of(shape), call.y, call.y_pieces, [&](int64_t row) {
    HWY_DYNAMIC_DISPATCH(forward_row)(shape, row, call);
  });
}

void layer_norm_backward(const LayerNormShape& shape, const LayerNormBackward& call) {
  write_rows("layer_norm", shape.rows, row_of(shape), call.dx, call.dx_pieces, [&](int64_t row) {
    HWY_DYNAMIC_DISPATCH(backward_row)(shape, row, call);
  });
}

}  // namespace faultline
#endif  // HWY_ONCE
