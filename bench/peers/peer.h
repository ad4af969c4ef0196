#pragma once

#include <functional>
#include <string>

#include "bench/peers/work.h"
#include "engine/base/registry.h"
#include "engine/kernels/conv2d.h"

namespace faultline::bench {

// One product of a convolution in f32, all dense in [sample, channel, row, column]: forward reads x and w and
// writes y, dx reads dy and w, dw reads x and dy.
enum class ConvPass { kForward, kDx, kDw };
struct Conv {
  Conv2dShape shape;
  ConvPass pass;
  const float* image;  // x, or dy for dx
  const float* other;  // w, or dy for dw
  float* out;
};

// A library whose figures stand beside ours. The work it lacks is an empty function.
struct Peer {
  static constexpr const char* kKind = "peer";

  // Its version and its kernels, which it chooses then: the best, or those for instruction_set() where ours are restricted
  // to it. Asked for before any work.
  std::function<std::string()> version;
  std::function<void(int)> set_threads;
  // Makes ready, outside of what is timed; what it returns does the work.
  std::function<std::function<void()>(const Gemm&)> gemm = {};
  // `own_layout`: operands are in the order that the library likes best already, and so stays the result, which is
  // then not written to `out`.
  std::function<std::function<void()>(const Conv&, bool own_layout)> conv2d = {};
  // Returns empty for an op that it lacks, or has not for so many threads.
  std::function<std::function<void()>(const Elementwise&, int threads)> elementwise = {};
};

}  // namespace faultline::bench
