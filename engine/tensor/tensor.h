#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/numerics/dtype.h"

namespace faultline {

using Shape = std::vector<int64_t>;

int64_t element_count(const Shape& shape);
std::string to_string(const Shape& shape);  // "[2, 3]"

// Shape of lhs op rhs with right-aligned broadcasting of sizes 1. Throws kShape.
Shape broadcast(const std::string& op, const Shape& lhs, const Shape& rhs);

// A strided view of shared, 64-byte aligned storage. Copies of a Tensor share its elements.
class Tensor {
 public:
  Tensor() = default;  // Undefined: stands for "no tensor".

  static Tensor empty(Shape shape, Dtype dtype);
  static Tensor zeros(Shape shape, Dtype dtype);
  static Tensor full(Shape shape, Dtype dtype, double value);
  // Each value is rounded once to dtype, in row-major order. Throws kShape if the count differs.
  static Tensor from(Shape shape, Dtype dtype, const std::vector<double>& values);

  bool defined() const { return storage_ != nullptr; }
  Dtype dtype() const { return dtype_; }
  const Shape& shape() const { return axes_ ? axes_->shape : kNoAxes; }
  const std::vector<int64_t>& strides() const { return axes_ ? axes_->strides : kNoAxes; }  // in elements
  int rank() const { return static_cast<int>(shape().size()); }
  int64_t dim(int axis) const { return shape()[axis < 0 ? axis + rank() : axis]; }
  int64_t size() const { return element_count(shape()); }
  int64_t size_bytes() const { return size() * faultline::size_bytes(dtype_); }
  bool is_contiguous() const;
  std::string describe() const;  // "[2, 3] f16"

  // First element of the view. The typed forms throw kDtype for another type.
  const void* raw() const { return bytes(); }
  void* mutable_raw() { return bytes(); }
  template <class T>
  const T* data() const {
    check_dtype(dtype_of<T>());
    return static_cast<const T*>(raw());
  }
  template <class T>
  T* mutable_data() {
    check_dtype(dtype_of<T>());
    return static_cast<T*>(mutable_raw());
  }

  std::shared_ptr<const std::byte> storage() const { return storage_; }  // keeps the elements alive

  // Views: no element is copied.
  Tensor transpose(int axis_a, int axis_b) const;
  Tensor permute(const std::vector<int64_t>& order) const;
  Tensor slice(int axis, int64_t begin, int64_t end) const;
  Tensor expand(const Shape& wider) const;  // broadcast, stride 0

  Tensor reshape(Shape shape) const;  // A view of contiguous(). One size may be -1.
  Tensor contiguous() const;          // Itself, or a row-major copy.
  Tensor clone() const;
  Tensor to(Dtype dtype) const;  // Rounded once to nearest even; itself if the dtype is the same.

  // Element at a row-major logical index, widened. Slow: for references, tests and messages.
  double at(int64_t index) const;
  void set(int64_t index, double value);  // Rounds once to dtype.
  std::vector<double> to_vector() const;
  std::vector<int64_t> unravel(int64_t index) const;  // row-major index to one index per axis

 private:
  struct Axes {
    Shape shape;
    std::vector<int64_t> strides;
  };
  static const Shape kNoAxes;

  // A view of the same elements.
  Tensor view(Axes axes, int64_t offset) const;
  std::byte* bytes() const { return storage_.get() + offset_ * faultline::size_bytes(dtype_); }
  void check_dtype(Dtype dtype) const;
  int64_t position(int64_t index) const;

  std::shared_ptr<std::byte> storage_;
  std::shared_ptr<const Axes> axes_;  // copies share them as well
  int64_t offset_ = 0;
  Dtype dtype_ = Dtype::kF32;
};

// Fills every storage handed out from now on with this byte (-1: leaves it as it is). Results must not
// change.
void set_heap_fill(int byte);

}  // namespace faultline
