#include "engine/kernels/pool.h"

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <limits>

#include "engine/base/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/pool.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/kernels/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

using DI = hn::RebindToSigned<DF>;

int64_t LanesOf() { return static_cast<int64_t>(hn::Lanes(DF())); }
int64_t RoundUp(int64_t n) { return (n + LanesOf() - 1) / LanesOf() * LanesOf(); }

// Converts n values, rounding once.
template <class From, class To>
void ConvertAll(const From* from, int64_t n, To* to) {
  ForVectors(n, [&](auto vector, int64_t i) HWY_ATTR { vector.store(vector.load(from + i), to + i); });
}

// The n values as f32: themselves, or widened into `buffer`.
template <class T>
const float* AsF32(const T* from, int64_t n, float* buffer) {
  if constexpr (std::is_same_v<T, float>) {
    return from;
  } else {
    ConvertAll(from, n, buffer);
    return buffer;
  }
}

// Copies n floats by vectors that may overlap.
void CopyRow(const float* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + LanesOf() <= n; i += LanesOf()) hn::StoreU(hn::LoadU(DF(), from + i), DF(), to + i);
  if (i == n) return;
  if (n >= LanesOf()) {
    hn::StoreU(hn::LoadU(DF(), from + n - LanesOf()), DF(), to + n - LanesOf());
  } else {
    std::copy_n(from, n, to);
  }
}

// One plane as f32 with its columns sorted by column mod stride, so that a tap of a whole row of windows is
// one run of consecutive floats: padded column r + q * stride lies at row(iy, r)[q]. Rows are filled up to
// whole vectors.
class PhasedPlane {
 public:
  PhasedPlane(const PoolShape& shape, float absent)
      : shape_(shape),
        pitch_(RoundUp(shape.out_width()) + RoundUp(shape.kernel_w / shape.stride_w + 1)),
        padded_(hwy::AllocateAligned<float>(Columns())),
        rows_(hwy::AllocateAligned<float>(shape.height * Columns())) {
    std::fill_n(padded_.get(), Columns(), absent);
    std::fill_n(rows_.get(), shape_.height * Columns(), absent);
  }

  // The run of tap (iy, j) from window ox = 0 on.
  float* Tap(int64_t iy, int64_t j) {
    return rows_.get() + iy * Columns() + j % shape_.stride_w * pitch_ + j / shape_.stride_w;
  }

  void Clear() { std::fill_n(rows_.get(), shape_.height * Columns(), 0.0f); }

  void Split(const float* plane) {
    for (int64_t iy = 0; iy < shape_.height; ++iy) {
      float* row = rows_.get() + iy * Columns();
      if (shape_.stride_w == 1) {
        CopyRow(plane + iy * shape_.width, shape_.width, row + shape_.padding_w);
      } else {
        CopyRow(plane + iy * shape_.width, shape_.width, padded_.get() + shape_.padding_w);
        SplitRow(row);
      }
    }
  }

  void Merge(float* plane) {
    for (int64_t iy = 0; iy < shape_.height; ++iy) {
      const float* row = rows_.get() + iy * Columns();
      if (shape_.stride_w > 1) {
        MergeRow(row);
        row = padded_.get();
      }
      CopyRow(row + shape_.padding_w, shape_.width, plane + iy * shape_.width);
    }
  }

 private:
  int64_t Columns() const { return pitch_ * shape_.stride_w; }

  void SplitRow(float* row) const {
    const float* padded = padded_.get();
    if (shape_.stride_w == 2) {
      for (int64_t q = 0; q + LanesOf() <= pitch_; q += LanesOf()) {
        VF even, odd;
        hn::LoadInterleaved2(DF(), padded + 2 * q, even, odd);
        hn::StoreU(even, DF(), row + q);
        hn::StoreU(odd, DF(), row + pitch_ + q);
      }
      return;
    }
    for (int64_t r = 0; r < shape_.stride_w; ++r) {
      for (int64_t q = 0; q < pitch_; ++q) row[r * pitch_ + q] = padded[r + q * shape_.stride_w];
    }
  }

  void MergeRow(const float* row) {
    float* padded = padded_.get();
    if (shape_.stride_w == 2) {
      for (int64_t q = 0; q + LanesOf() <= pitch_; q += LanesOf()) {
        hn::StoreInterleaved2(hn::LoadU(DF(), row + q), hn::LoadU(DF(), row + pitch_ + q), DF(),
                              padded + 2 * q);
      }
      return;
    }
    for (int64_t r = 0; r < shape_.stride_w; ++r) {
      for (int64_t q = 0; q < pitch_; ++q) padded[r + q * shape_.stride_w] = row[r * pitch_ + q];
    }
  }

  const PoolShape shape_;
  const int64_t pitch_;
  hwy::AlignedFreeUniquePtr<float[]> padded_, rows_;
};

// Kernel rows of the windows of output row oy that lie inside the plane.
struct RowRange {
  int64_t begin, end;
};
RowRange RowsInside(const PoolShape& s, int64_t oy) {
  const int64_t top = oy * s.stride_h - s.padding_h;
  return {std::max<int64_t>(0, -top), std::min(s.kernel_h, s.height - top)};
}

int64_t InputRow(const PoolShape& s, int64_t oy, int64_t i) { return oy * s.stride_h - s.padding_h + i; }

// A later value takes the place of the maximum if it is greater, or the first NaN.
hn::Mask<DF> Wins(VF value, VF maximum) {
  return hn::AndNot(hn::IsNaN(maximum), hn::Not(hn::Le(value, maximum)));
}

void MaxRow(const PoolShape& s, PhasedPlane& in, int64_t oy, float* y) {
  const RowRange rows = RowsInside(s, oy);
  for (int64_t ox = 0; ox < s.out_width(); ox += LanesOf()) {
    VF maximum = hn::Set(DF(), -std::numeric_limits<float>::infinity());
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      for (int64_t j = 0; j < s.kernel_w; ++j) {
        const VF value = hn::LoadU(DF(), in.Tap(InputRow(s, oy, i), j) + ox);
        maximum = hn::IfThenElse(Wins(value, maximum), value, maximum);
      }
    }
    hn::StoreU(maximum, DF(), y + ox);
  }
}

// Writes which tap won; `winner` holds the first tap inside the plane, which wins where all are -infinity.
void WinnerRow(const PoolShape& s, PhasedPlane& in, int64_t oy, const int32_t* first_column,
               int32_t* winner) {
  const RowRange rows = RowsInside(s, oy);
  for (int64_t ox = 0; ox < s.out_width(); ox += LanesOf()) {
    VF maximum = hn::Set(DF(), -std::numeric_limits<float>::infinity());
    auto index = hn::Add(hn::LoadU(DI(), first_column + ox),
                         hn::Set(DI(), static_cast<int32_t>(rows.begin * s.kernel_w)));
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      for (int64_t j = 0; j < s.kernel_w; ++j) {
        const VF value = hn::LoadU(DF(), in.Tap(InputRow(s, oy, i), j) + ox);
        const auto wins = Wins(value, maximum);
        maximum = hn::IfThenElse(wins, value, maximum);
        index = hn::IfThenElse(hn::RebindMask(DI(), wins),
                               hn::Set(DI(), static_cast<int32_t>(i * s.kernel_w + j)), index);
      }
    }
    hn::StoreU(index, DI(), winner + ox);
  }
}

void SumRow(const PoolShape& s, PhasedPlane& in, int64_t oy, float* y) {
  const RowRange rows = RowsInside(s, oy);
  const VF count = hn::Set(DF(), static_cast<float>(s.kernel_h * s.kernel_w));
  for (int64_t ox = 0; ox < s.out_width(); ox += LanesOf()) {
    VF sum = hn::Zero(DF());
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      for (int64_t j = 0; j < s.kernel_w; ++j) {
        sum = hn::Add(sum, hn::LoadU(DF(), in.Tap(InputRow(s, oy, i), j) + ox));
      }
    }
    hn::StoreU(hn::Div(sum, count), DF(), y + ox);
  }
}

// Adds contribution(i, j, ox) to the elements of the windows of output row oy. Columns of the kernel fall, so
// that an element receives from windows ox in rising order.
template <class Contribution>
void AddTaps(const PoolShape& s, PhasedPlane& out, int64_t oy, const Contribution& contribution) {
  const RowRange rows = RowsInside(s, oy);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    for (int64_t j = s.kernel_w; j-- > 0;) {
      float* run = out.Tap(InputRow(s, oy, i), j);
      for (int64_t ox = 0; ox < s.out_width(); ox += LanesOf()) {
        hn::StoreU(hn::Add(hn::LoadU(DF(), run + ox), contribution(i, j, ox)), DF(), run + ox);
      }
    }
  }
}

template <class T, class Row>
void ForwardPlanes(const PoolShape& s, float absent, const T* x, T* y, int64_t begin, int64_t end,
                   const Row& row) {
  const int64_t in_size = s.height * s.width, out_size = s.out_height() * s.out_width();
  PhasedPlane in(s, absent);
  const auto input = hwy::AllocateAligned<float>(in_size);
  const auto output = hwy::AllocateAligned<float>(out_size + hn::MaxLanes(DF()));
  for (int64_t plane = begin; plane < end; ++plane) {
    in.Split(AsF32(x + plane * in_size, in_size, input.get()));
    for (int64_t oy = 0; oy < s.out_height(); ++oy) row(s, in, oy, output.get() + oy * s.out_width());
    ConvertAll(output.get(), out_size, y + plane * out_size);
  }
}

template <class T>
void MaxBackwardPlanes(const PoolShape& s, const T* x, const T* dy, T* dx, int64_t begin, int64_t end) {
  const int64_t in_size = s.height * s.width, out_size = s.out_height() * s.out_width();
  const int64_t row_size = RoundUp(s.out_width());
  PhasedPlane in(s, -std::numeric_limits<float>::infinity()), out(s, 0);
  const auto input = hwy::AllocateAligned<float>(in_size);
  const auto gradient = hwy::AllocateAligned<float>(out_size + hn::MaxLanes(DF()));
  const auto result = hwy::AllocateAligned<float>(in_size);
  const auto first_column = hwy::AllocateAligned<int32_t>(row_size);
  const auto winner = hwy::AllocateAligned<int32_t>(row_size);
  std::fill_n(gradient.get(), out_size + hn::MaxLanes(DF()), 0.0f);
  for (int64_t ox = 0; ox < row_size; ++ox) {
    first_column[ox] = static_cast<int32_t>(std::max<int64_t>(0, s.padding_w - ox * s.stride_w));
  }
  for (int64_t plane = begin; plane < end; ++plane) {
    in.Split(AsF32(x + plane * in_size, in_size, input.get()));
    ConvertAll(dy + plane * out_size, out_size, gradient.get());
    out.Clear();
    for (int64_t oy = 0; oy < s.out_height(); ++oy) {
      WinnerRow(s, in, oy, first_column.get(), winner.get());
      std::fill(winner.get() + s.out_width(), winner.get() + row_size, -1);
      const float* dy_row = gradient.get() + oy * s.out_width();
      AddTaps(s, out, oy, [&](int64_t i, int64_t j, int64_t ox) HWY_ATTR {
        const auto tap = hn::Set(DI(), static_cast<int32_t>(i * s.kernel_w + j));
        const auto won = hn::RebindMask(DF(), hn::Eq(hn::LoadU(DI(), winner.get() + ox), tap));
        return hn::IfThenElseZero(won, hn::LoadU(DF(), dy_row + ox));
      });
    }
    out.Merge(result.get());
    ConvertAll(result.get(), in_size, dx + plane * in_size);
  }
}

template <class T>
void AvgBackwardPlanes(const PoolShape& s, const T* dy, T* dx, int64_t begin, int64_t end) {
  const int64_t in_size = s.height * s.width, out_size = s.out_height() * s.out_width();
  const int64_t row_size = RoundUp(s.out_width());
  PhasedPlane out(s, 0);
  const VF count = hn::Set(DF(), static_cast<float>(s.kernel_h * s.kernel_w));
  const auto gradient = hwy::AllocateAligned<float>(out_size);
  const auto result = hwy::AllocateAligned<float>(in_size);
  const auto share = hwy::AllocateAligned<float>(row_size);
  std::fill_n(share.get(), row_size, 0.0f);
  for (int64_t plane = begin; plane < end; ++plane) {
    const float* dy_plane = AsF32(dy + plane * out_size, out_size, gradient.get());
    out.Clear();
    for (int64_t oy = 0; oy < s.out_height(); ++oy) {
      CopyRow(dy_plane + oy * s.out_width(), s.out_width(), share.get());
      for (int64_t ox = 0; ox < row_size; ox += LanesOf()) {
        hn::StoreU(hn::Div(hn::LoadU(DF(), share.get() + ox), count), DF(), share.get() + ox);
      }
      AddTaps(s, out, oy,
              [&](int64_t, int64_t, int64_t ox) HWY_ATTR { return hn::LoadU(DF(), share.get() + ox); });
    }
    out.Merge(result.get());
    ConvertAll(result.get(), in_size, dx + plane * in_size);
  }
}

void MaxForward(const PoolShape& s, Dtype dtype, const void* x, void* y, int64_t begin, int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    ForwardPlanes(s, -std::numeric_limits<float>::infinity(), static_cast<const T*>(x), static_cast<T*>(y),
                  begin, end, MaxRow);
  });
}

void MaxBackward(const PoolShape& s, Dtype dtype, const void* x, const void* dy, void* dx, int64_t begin,
                 int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    MaxBackwardPlanes(s, static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<T*>(dx), begin,
                      end);
  });
}

void AvgForward(const PoolShape& s, Dtype dtype, const void* x, void* y, int64_t begin, int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    ForwardPlanes(s, 0.0f, static_cast<const T*>(x), static_cast<T*>(y), begin, end, SumRow);
  });
}

void AvgBackward(const PoolShape& s, Dtype dtype, const void* dy, void* dx, int64_t begin, int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    AvgBackwardPlanes(s, static_cast<const T*>(dy), static_cast<T*>(dx), begin, end);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(MaxForward);
HWY_EXPORT(MaxBackward);
HWY_EXPORT(AvgForward);
HWY_EXPORT(AvgBackward);

// Planes that make a range worth a thread.
int64_t grain(const PoolShape& shape) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, shape.height * shape.width));
}

}  // namespace

void max_pool2d(const PoolShape& shape, Dtype dtype, const void* x, void* y) {
  parallel_for("max_pool2d", shape.planes, grain(shape), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(MaxForward)(shape, dtype, x, y, begin, end);
  });
}

void max_pool2d_backward(const PoolShape& shape, Dtype dtype, const void* x, const void* dy, void* dx) {
  parallel_for("max_pool2d_backward", shape.planes, grain(shape), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(MaxBackward)(shape, dtype, x, dy, dx, begin, end);
  });
}

void avg_pool2d(const PoolShape& shape, Dtype dtype, const void* x, void* y) {
  parallel_for("avg_pool2d", shape.planes, grain(shape), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AvgForward)(shape, dtype, x, y, begin, end);
  });
}

void avg_pool2d_backward(const PoolShape& shape, Dtype dtype, const void* dy, void* dx) {
  parallel_for("avg_pool2d_backward", shape.planes, grain(shape), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AvgBackward)(shape, dtype, dy, dx, begin, end);
  });
}

}  // namespace faultline
#endif  // HWY_ONCE
