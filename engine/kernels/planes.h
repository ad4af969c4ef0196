#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "engine/kernels/conv2d.h"
#include "engine/kernels/scratch.h"

namespace faultline {

// Which part of an image is copied, and how it is laid out.
struct PlaneLayout {
  int64_t N, C, H, W;          // the source
  int64_t origin_h, origin_w;  // source coordinate of the first element; negative for padding
  int64_t stride_h, stride_w;  // each plane is split by the residue of its coordinates
  int64_t height, width;       // of one such part

  int64_t part() const { return height * width; }
  int64_t sample() const { return C * stride_h * stride_w * part(); }

  // Offset in a sample of the element u rows and v columns from the origin.
  int64_t offset(int64_t c, int64_t u, int64_t v) const {
    const int64_t index = (c * stride_h + u % stride_h) * stride_w + v % stride_w;
    return index * part() + u / stride_h * width + v / stride_w;
  }
};

// Images as they lie, and what of them is copied.
struct PlaneSource {
  PlaneLayout layout;
  ConstArray images;
  const Arithmetic& arithmetic;  // says whether f32 is rounded to tf32

  PlaneSource samples(int64_t first, int64_t count) const;
};

// How planes are read: in whole vectors, which go beyond the last element, or element by element.
enum class PlaneReads : uint8_t { kVectors, kElements };

// Images with their padding as +0, widened to f32 or, of bf16, as they are; not copied where they lie like that
// already and are read by elements. In this form the values that a tap of a
// convolution reads, for outputs side by side, lie side by side whatever the stride: a register block reads them
// where they are.
// A row of outputs is followed by width - OW that belong to none.
template <class T>
class PlanesOf {
 public:
  explicit PlanesOf(const PlaneSource& source, PlaneReads reads = PlaneReads::kVectors);

  const PlaneLayout& layout() const { return layout_; }
  const T* data() const { return copy_ ? reinterpret_cast<const T*>(copy_->data()) : as_they_lie_; }

 private:
  void copy_plane(const char* source, Dtype dtype, const Arithmetic& arithmetic, T* row, T* out) const;

  PlaneLayout layout_;
  const T* as_they_lie_;         // or nullptr and
  std::optional<Scratch> copy_;  // this
};
using Planes = PlanesOf<float>;

// Images as planes are, with the samples of a group side by side, group after group: of the samples from first on, the
// element at an offset of sample first + i is at first * sample() + offset * group + i.
class InterleavedPlanes {
 public:
  InterleavedPlanes(const PlaneSource& source, int64_t group);  // N is a multiple of group

  const float* data() const { return data_.data(); }

 private:
  Scratch data_;
};

// Calls body(planes, first sample) for few samples at a time, whose planes are still in a cache when they are read: on
// one thread each, under the name `kernel`, or where they are too few for that one after the other.
void for_few_samples(const char* kernel, const PlaneSource& source, PlaneReads reads,
                     const std::function<void(const Planes&, int64_t)>& body);

// The image of a convolution as forward and dw read it.
PlaneLayout image_layout(const Conv2dShape& shape);

// Where in a sample the taps (channel, row, column of the kernel) read for the first output.
std::vector<int64_t> image_taps(const Conv2dShape& shape, const PlaneLayout& layout);

}  // namespace faultline
