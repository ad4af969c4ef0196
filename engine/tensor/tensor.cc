#include "engine/tensor/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/base/error.h"
#include "engine/tensor/storage.h"

namespace faultline {
namespace {

std::vector<int64_t> row_major_strides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

}  // namespace

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Shape broadcast(const std::string& op, const Shape& lhs, const Shape& rhs) {
  Shape result(std::max(lhs.size(), rhs.size()));
  for (size_t i = 0; i < result.size(); ++i) {
    const int64_t l = i < lhs.size() ? lhs[lhs.size() - 1 - i] : 1,
                  r = i < rhs.size() ? rhs[rhs.size() - 1 - i] : 1;
    if (l != r && l != 1 && r != 1) {
      throw Error(ErrorCode::kShape, op,
                  fmt::format("shapes do not broadcast: {} and {}", to_string(lhs), to_string(rhs)));
    }
    result[result.size() - 1 - i] = l == 1 ? r : l;
  }
  return result;
}

const Shape Tensor::kNoAxes;

Tensor Tensor::empty(Shape shape, Dtype dtype) {
  for (int64_t size : shape) {
    if (size < 0) throw Error(ErrorCode::kShape, "tensor", "negative size in " + to_string(shape));
  }
  if (!info(dtype).storable) {
    throw Error(ErrorCode::kDtype, "tensor",
                fmt::format("{} is a compute format, store it as f32", name(dtype)));
  }
  Tensor tensor;
  std::vector<int64_t> strides = row_major_strides(shape);
  tensor.axes_ = std::make_shared<const Axes>(Axes{std::move(shape), std::move(strides)});
  tensor.dtype_ = dtype;
  tensor.storage_ = allocate_storage(static_cast<size_t>(tensor.size_bytes()));
  return tensor;
}

Tensor Tensor::zeros(Shape shape, Dtype dtype) {
  Tensor tensor = empty(std::move(shape), dtype);
  std::memset(tensor.mutable_raw(), 0, static_cast<size_t>(tensor.size_bytes()));
  return tensor;
}

Tensor Tensor::full(Shape shape, Dtype dtype, double value) {
  Tensor tensor = empty(std::move(shape), dtype);
  visit(dtype, [&]<class T>() { std::fill_n(tensor.mutable_data<T>(), tensor.size(), narrow<T>(value)); });
  return tensor;
}

Tensor Tensor::from(Shape shape, Dtype dtype, const std::vector<double>& values) {
  Tensor tensor = empty(std::move(shape), dtype);
  if (tensor.size() != static_cast<int64_t>(values.size())) {
    throw Error(ErrorCode::kShape, "tensor",
                fmt::format("{} values for {}", values.size(), tensor.describe()));
  }
  visit(dtype, [&]<class T>() {
    std::transform(values.begin(), values.end(), tensor.mutable_data<T>(), narrow<T>);
  });
  return tensor;
}

Tensor Tensor::view(Axes axes, int64_t offset) const {
  Tensor view = *this;
  view.axes_ = std::make_shared<const Axes>(std::move(axes));
  view.offset_ = offset;
  return view;
}

bool Tensor::is_contiguous() const {
  const Shape& sizes = shape();
  const std::vector<int64_t>& steps = strides();
  int64_t expected = 1;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    if (sizes[axis] != 1 && steps[axis] != expected) return false;
    expected *= sizes[axis];
  }
  return true;
}

std::string Tensor::describe() const {
  return defined() ? fmt::format("{} {}", to_string(shape()), name(dtype_)) : "undefined";
}

void Tensor::check_dtype(Dtype dtype) const {
  if (!defined() || dtype != dtype_) {
    throw Error(ErrorCode::kDtype, "tensor",
                fmt::format("read as {}, but it is {}", name(dtype), describe()));
  }
}

Tensor Tensor::transpose(int axis_a, int axis_b) const {
  Axes axes{shape(), strides()};
  std::swap(axes.shape.at(axis_a), axes.shape.at(axis_b));
  std::swap(axes.strides.at(axis_a), axes.strides.at(axis_b));
  return view(std::move(axes), offset_);
}

Tensor Tensor::permute(const std::vector<int64_t>& order) const {
  std::vector<int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  bool valid = order.size() == shape().size();
  for (size_t i = 0; valid && i < sorted.size(); ++i) valid = sorted[i] == static_cast<int64_t>(i);
  if (!valid) {
    throw Error(ErrorCode::kShape, "permute",
                fmt::format("axes {} do not permute {}", to_string(order), describe()));
  }
  Axes axes;
  for (int64_t axis : order) {
    axes.shape.push_back(shape()[axis]);
    axes.strides.push_back(strides()[axis]);
  }
  return view(std::move(axes), offset_);
}

Tensor Tensor::slice(int axis, int64_t begin, int64_t end) const {
  if (axis < 0 || axis >= rank() || begin < 0 || begin > end || end > shape()[axis]) {
    throw Error(ErrorCode::kShape, "slice",
                fmt::format("{} .. {} of axis {} is not in {}", begin, end, axis, describe()));
  }
  Axes axes{shape(), strides()};
  axes.shape[axis] = end - begin;
  return view(std::move(axes), offset_ + begin * strides()[axis]);
}

Tensor Tensor::expand(const Shape& wider) const {
  if (broadcast("expand", shape(), wider) != wider) {
    throw Error(ErrorCode::kShape, "expand",
                fmt::format("{} does not expand to {}", describe(), to_string(wider)));
  }
  Axes axes{wider, std::vector<int64_t>(wider.size(), 0)};
  const size_t added = wider.size() - shape().size();
  for (size_t axis = 0; axis < shape().size(); ++axis) {
    if (shape()[axis] == wider[axis + added]) axes.strides[axis + added] = strides()[axis];
  }
  return view(std::move(axes), offset_);
}

Tensor Tensor::reshape(Shape shape) const {
  const auto open = std::find(shape.begin(), shape.end(), -1);
  if (open != shape.end()) {
    *open = 1;
    const int64_t rest = element_count(shape);
    *open = rest == 0 ? 0 : size() / rest;
  }
  if (element_count(shape) != size()) {
    throw Error(ErrorCode::kShape, "reshape",
                fmt::format("{} does not fit {}", describe(), to_string(shape)));
  }
  std::vector<int64_t> strides = row_major_strides(shape);
  const Tensor whole = contiguous();
  return whole.view({std::move(shape), std::move(strides)}, whole.offset_);
}

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::clone() const {
  Tensor copy = empty(shape(), dtype_);
  if (is_contiguous()) {
    std::memcpy(copy.mutable_raw(), raw(), static_cast<size_t>(size_bytes()));
    return copy;
  }
  visit(dtype_, [&]<class T>() {
    const T* from = data<T>();
    T* to = copy.mutable_data<T>();
    const int64_t columns = rank() == 0 ? 1 : shape().back(), stride = rank() == 0 ? 1 : strides().back();
    for (int64_t i = 0; i < copy.size(); i += columns) {
      const T* row = from + position(i);
      for (int64_t j = 0; j < columns; ++j) to[i + j] = row[j * stride];
    }
  });
  return copy;
}

Tensor Tensor::to(Dtype dtype) const {
  if (dtype == dtype_) return *this;
  Tensor result = empty(shape(), dtype);
  for (int64_t i = 0; i < size(); ++i) result.set(i, at(i));
  return result;
}

int64_t Tensor::position(int64_t index) const {
  const Shape& sizes = shape();
  int64_t position = 0;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    position += index % sizes[axis] * strides()[axis];
    index /= sizes[axis];
  }
  return position;
}

double Tensor::at(int64_t index) const {
  return visit(dtype_, [&]<class T>() -> double { return widen(data<T>()[position(index)]); });
}

void Tensor::set(int64_t index, double value) {
  visit(dtype_, [&]<class T>() { mutable_data<T>()[position(index)] = narrow<T>(value); });
}

std::vector<double> Tensor::to_vector() const {
  std::vector<double> values(static_cast<size_t>(size()));
  for (int64_t i = 0; i < size(); ++i) values[i] = at(i);
  return values;
}

std::vector<int64_t> Tensor::unravel(int64_t index) const {
  std::vector<int64_t> indices(shape().size());
  for (size_t axis = shape().size(); axis-- > 0;) {
    indices[axis] = index % shape()[axis];
    index /= shape()[axis];
  }
  return indices;
}

}  // namespace faultline
