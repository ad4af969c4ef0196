#include "engine/kernels/image_out.h"

#include <vector>

#include "engine/kernels/rows.h"

namespace faultline {

void store_rows(const ImageOut& out, int64_t cols, int64_t sample, int64_t m, int64_t row, int64_t rows,
                int64_t stride, float* values) {
  if (out.bias != nullptr) {
    const float bias = out.bias[m];
    for (int64_t i = 0; i < (rows - 1) * stride + cols; ++i) values[i] += bias;
  }
  if (out.col == 1 && stride == cols && out.row == cols) {  // one long row
    cols *= rows;
    rows = 1;
  }
  const Dtype dtype = out.array.dtype;
  const int64_t first = out.first + sample * out.sample + m * out.channel + row * out.row;
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

void show_channels(const ImageOut& out, int64_t sample, int64_t first, int64_t last) {
  const int64_t begin = out.first + sample * out.sample + first * out.channel;
  out.array.pieces->written(begin, begin + (last - first) * out.channel,
                            static_cast<const char*>(out.array.data) + begin * size_bytes(out.array.dtype));
}

}  // namespace faultline
