#pragma once

#include <vector>

#include "engine/autograd/op.h"
#include "engine/kernels/pool.h"

namespace faultline {

// What the pooling ops share: their attributes, their shapes, and windows as plain scalar code.

// {kernel, stride, padding}, each {height, width}. An empty stride means the kernel.
Attributes pool_attributes(const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                           const std::vector<int64_t>& padding);

// Throws kDtype for an x that is no float, kShape unless it is [N, C, H, W] and the kernel fits into the
// padded plane, kArgument for sizes out of range or padding above half the kernel.
void check_pool(const std::string& op, const OpCall& call);

// Of a call that was checked.
PoolShape pool_shape(const OpCall& call);
Shape pool_output_shape(const OpCall& call);

// Calls body(output index, input indices) for every window, the indices inside the plane in row-major order.
template <class Body>
void for_each_window(const PoolShape& shape, Body body) {
  std::vector<int64_t> taps;
  int64_t output = 0;
  for (int64_t plane = 0; plane < shape.planes; ++plane) {
    for (int64_t oy = 0; oy < shape.out_height(); ++oy) {
      for (int64_t ox = 0; ox < shape.out_width(); ++ox) {
        taps.clear();
        for (int64_t i = 0; i < shape.kernel_h; ++i) {
          for (int64_t j = 0; j < shape.kernel_w; ++j) {
            const int64_t iy = oy * shape.stride_h - shape.padding_h + i;
            const int64_t ix = ox * shape.stride_w - shape.padding_w + j;
            const bool inside = iy >= 0 && iy < shape.height && ix >= 0 && ix < shape.width;
            if (inside) taps.push_back((plane * shape.height + iy) * shape.width + ix);
          }
        }
        body(output++, taps);
      }
    }
  }
}

// x [N, C, H, W] with kernels, strides and paddings that overlap, leave elements out and reach over the
// border.
std::vector<Sample> pool_samples(Fill fill);

}  // namespace faultline
