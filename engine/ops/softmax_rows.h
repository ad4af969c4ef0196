#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "engine/autograd/execution.h"
#include "engine/autograd/op.h"
#include "engine/kernels/softmax.h"
#include "engine/numerics/sum.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/functions.h"

namespace faultline {

// What softmax, log_softmax and cross entropy share: the definition of one row as scalar code, and the axis.

template <class T>
struct SoftmaxRow {
  std::vector<T> shifted, exponentials;
  T sum;

  SoftmaxRow(const T* x, int64_t n) {
    T max = -std::numeric_limits<T>::infinity();
    for (int64_t i = 0; i < n; ++i) max = max < x[i] || std::isnan(x[i]) ? x[i] : max;
    for (int64_t i = 0; i < n; ++i) {
      shifted.push_back(x[i] - max);
      exponentials.push_back(exponential(shifted[i]));
    }
    sum = lane_sum<T>(n, [&](int64_t i) { return exponentials[i]; });
  }
};

// An op over one axis, brought to rows: that axis is swapped with the last and swapped back.
class RowView {
 public:
  explicit RowView(const OpCall& call)
      : axis_(static_cast<int>(call.attributes.integer("axis"))), shape_(call.inputs[0].shape()) {
    const int rank = static_cast<int>(shape_.size());
    if (axis_ < 0) axis_ += rank;
    last_ = rank - 1;
  }

  bool valid() const { return axis_ >= 0 && axis_ <= last_; }
  int64_t columns() const { return shape_[axis_]; }
  Tensor to_rows(const Tensor& x) const { return x.transpose(axis_, last_).contiguous(); }
  Tensor from_rows(const Tensor& rows) const { return rows.transpose(axis_, last_).contiguous(); }

  // The rows of a result to be written.
  SoftmaxRows kernel(const Tensor& rows) const {
    return {rows.dtype(), columns() == 0 ? 0 : rows.size() / columns(), columns(), pieces_of(rows)};
  }

 private:
  int axis_, last_;
  Shape shape_;
};

// Everything of the two ops but their formulas.
struct SoftmaxOp {
  const char* name;
  void (SoftmaxRows::*forward)(const void*, void*) const;
  void (SoftmaxRows::*gradient)(const void*, const void*, void*) const;
  // Bound of the absolute error of the f32 value y of a row of n, whose inputs are at most `range` below the
  // maximum.
  double (*error)(double y, double range, double n);
};

OpDef softmax_op_without_reference(const SoftmaxOp& op);

// Formula::forward(x, y, n) and Formula::gradient(dy, y, dx, n) on one row, templates on T = float or double.
template <class Formula>
OpDef softmax_op(const SoftmaxOp& op) {
  OpDef def = softmax_op_without_reference(op);
  def.forward_reference = [](const OpCall& call) -> Tensors {
    const RowView view(call);
    return visit_compute(call.inputs[0].dtype(), [&]<class T>() -> Tensors {
      const Tensor x = view.to_rows(call.inputs[0].to(dtype_of<T>()));
      Tensor y = Tensor::empty(x.shape(), dtype_of<T>());
      const int64_t n = view.columns();
      for (int64_t i = 0; i < x.size(); i += n) Formula::forward(x.data<T>() + i, y.mutable_data<T>() + i, n);
      return {view.from_rows(y).to(call.inputs[0].dtype())};
    });
  };
  def.backward_reference = [](const OpGradCall& grad) -> Tensors {
    const RowView view(grad.call);
    const Dtype dtype = grad.call.inputs[0].dtype();
    return visit_compute(dtype, [&]<class T>() -> Tensors {
      const Tensor dy = view.to_rows(grad.grad_output.to(dtype_of<T>()));
      const Tensor y = view.to_rows(grad.outputs[0].to(dtype_of<T>()));
      Tensor dx = Tensor::empty(y.shape(), dtype_of<T>());
      const int64_t n = view.columns();
      for (int64_t i = 0; i < y.size(); i += n)
        Formula::gradient(dy.data<T>() + i, y.data<T>() + i, dx.mutable_data<T>() + i, n);
      return {view.from_rows(dx).to(dtype)};
    });
  };
  return def;
}

}  // namespace faultline
