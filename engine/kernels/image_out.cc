#include "engine/kernels/image_out.h"

#include <hwy/highway.h>

#include <vector>

#include "engine/kernels/rows.h"

namespace faultline {

namespace {

namespace hn = hwy::HWY_NAMESPACE;

// to[i] = from[i] + bias for i < n; as it is if there is no bias.
HWY_INLINE void store_line(const float* from, const float* bias, int64_t n, float* to) {
  using D = hn::ScalableTag<float>;
  const int64_t lanes = hn::Lanes(D());
  const auto store = [&](auto d, int64_t i) HWY_ATTR {
    const auto value = hn::LoadU(d, from + i);
    hn::StoreU(bias ? hn::Add(value, hn::Set(d, *bias)) : value, d, to + i);
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(D(), i);
  for (; i < n; ++i) store(hn::CappedTag<float, 1>(), i);
}

}  // namespace

void store_rows(const ImageOut& out, int64_t cols, int64_t sample, int64_t m, int64_t row, int64_t rows,
                int64_t stride, float* values) {
  const float* bias = out.bias ? out.bias + m : nullptr;
  const Dtype dtype = out.array.dtype;
  const int64_t first = out.first + sample * out.sample + m * out.channel + row * out.row;
  if (dtype == Dtype::kF32 && out.col == 1) {
    float* to = static_cast<float*>(out.array.data) + first;
    for (int64_t r = 0; r < rows; ++r) store_line(values + r * stride, bias, cols, to + r * out.row);
    return;
  }
  if (bias) store_line(values, bias, (rows - 1) * stride + cols, values);
  visit(dtype, [&]<class T>() {
    T* to = static_cast<T*>(out.array.data) + first;
    if (out.col == 1) return convert_rows({values, Dtype::kF32, stride}, {to, dtype, out.row}, rows, cols);
    std::vector<T> line(cols);
    for (int64_t r = 0; r < rows; ++r) {
      convert_rows({values + r * stride, Dtype::kF32, 0}, {line.data(), dtype, 0}, 1, cols);
      for (int64_t i = 0; i < cols; ++i) to[r * out.row + i * out.col] = line[i];
    }
  });
}

}  // namespace faultline
