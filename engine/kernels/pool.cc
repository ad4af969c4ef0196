#include "engine/kernels/pool.h"

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/max_pool_2x2.h"

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

// A shape with what its divisions give.
struct Pool : PoolShape {
  explicit Pool(const PoolShape& shape)
      : PoolShape(shape),
        out_h(shape.out_height()),
        out_w(shape.out_width()),
        row_size(RoundUp(out_w)),
        overlaps(kernel_h > stride_h || kernel_w > stride_w) {}

  int64_t in_size() const { return height * width; }
  int64_t out_size() const { return out_h * out_w; }

  int64_t out_h, out_w;
  int64_t row_size;  // of a row of outputs filled up to whole vectors
  bool overlaps;
};

// One plane as f32 with its columns sorted by column mod stride, so that a tap of a whole row of windows is
// one run of consecutive floats: padded column r + q * stride lies at Row(iy)[r * pitch + q]. What lies
// behind the last window's runs is never part of a result.
class PhasedPlane {
 public:
  PhasedPlane(const Pool& pool, float absent)
      : pool_(pool),
        pitch_(RoundUp(std::max(pool.row_size + (pool.kernel_w - 1) / pool.stride_w,
                                (pool.width + 2 * pool.padding_w - 1) / pool.stride_w + 1))),
        padded_(hwy::AllocateAligned<float>(columns())),
        rows_(hwy::AllocateAligned<float>(pool.height * columns())) {
    for (int64_t j = 0; j < pool.kernel_w; ++j)
      taps_.push_back(j % pool.stride_w * pitch_ + j / pool.stride_w);
    std::fill_n(padded_.get(), columns(), absent);
    std::fill_n(rows_.get(), pool.height * columns(), absent);
  }

  float* Row(int64_t iy) { return rows_.get() + iy * columns(); }
  int64_t Tap(int64_t j) const { return taps_[j]; }  // offset in a row of tap j of window 0

  // How far Split reads, and Merge writes, past the end of a plane.
  int64_t columns() const { return pitch_ * pool_.stride_w; }

  void Clear() { std::fill_n(rows_.get(), pool_.height * columns(), 0.0f); }

  void Split(const float* plane) {
    for (int64_t iy = 0; iy < pool_.height; ++iy, plane += pool_.width) {
      if (pool_.stride_w == 1) {
        CopyRow(plane, pool_.width, Row(iy) + pool_.padding_w);
      } else if (pool_.padding_w == 0) {
        SplitRow(plane, Row(iy));
      } else {
        CopyRow(plane, pool_.width, padded_.get() + pool_.padding_w);
        SplitRow(padded_.get(), Row(iy));
      }
    }
  }

  void Merge(float* plane) {
    for (int64_t iy = 0; iy < pool_.height; ++iy, plane += pool_.width) {
      if (pool_.stride_w == 1) {
        CopyRow(Row(iy) + pool_.padding_w, pool_.width, plane);
      } else if (pool_.padding_w == 0) {
        MergeRow(Row(iy), plane);  // The next row overwrites what is too much.
      } else {
        MergeRow(Row(iy), padded_.get());
        CopyRow(padded_.get() + pool_.padding_w, pool_.width, plane);
      }
    }
  }

 private:
  void SplitRow(const float* columns, float* row) const {
    if (pool_.stride_w == 2) {
      for (int64_t q = 0; q < pitch_; q += LanesOf()) {
        VF even, odd;
        hn::LoadInterleaved2(DF(), columns + 2 * q, even, odd);
        hn::StoreU(even, DF(), row + q);
        hn::StoreU(odd, DF(), row + pitch_ + q);
      }
      return;
    }
    for (int64_t r = 0; r < pool_.stride_w; ++r) {
      for (int64_t q = 0; q < pitch_; ++q) row[r * pitch_ + q] = columns[r + q * pool_.stride_w];
    }
  }

  void MergeRow(const float* row, float* columns) const {
    if (pool_.stride_w == 2) {
      for (int64_t q = 0; q < pitch_; q += LanesOf()) {
        hn::StoreInterleaved2(hn::LoadU(DF(), row + q), hn::LoadU(DF(), row + pitch_ + q), DF(),
                              columns + 2 * q);
      }
      return;
    }
    for (int64_t r = 0; r < pool_.stride_w; ++r) {
      for (int64_t q = 0; q < pitch_; ++q) columns[r + q * pool_.stride_w] = row[r * pitch_ + q];
    }
  }

  const Pool& pool_;
  const int64_t pitch_;
  std::vector<int64_t> taps_;
  hwy::AlignedFreeUniquePtr<float[]> padded_, rows_;
};

// Kernel rows of the windows of output row oy that lie inside the plane.
struct RowRange {
  int64_t begin, end;
};
RowRange RowsInside(const Pool& s, int64_t oy) {
  const int64_t top = oy * s.stride_h - s.padding_h;
  return {std::max<int64_t>(0, -top), std::min(s.kernel_h, s.height - top)};
}

int64_t InputRow(const Pool& s, int64_t oy, int64_t i) { return oy * s.stride_h - s.padding_h + i; }

// A later value takes the place of the maximum if it is greater, or the first NaN.
hn::Mask<DF> Wins(VF value, VF maximum) {
  return hn::AndNot(hn::IsNaN(maximum), hn::Not(hn::Le(value, maximum)));
}

void MaxRow(const Pool& s, PhasedPlane& in, int64_t oy, float* y) {
  const RowRange rows = RowsInside(s, oy);
  for (int64_t ox = 0; ox < s.out_w; ox += LanesOf()) {
    VF maximum = hn::Set(DF(), -std::numeric_limits<float>::infinity());
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      const float* row = in.Row(InputRow(s, oy, i)) + ox;
      for (int64_t j = 0; j < s.kernel_w; ++j) {
        const VF value = hn::LoadU(DF(), row + in.Tap(j));
        maximum = hn::IfThenElse(Wins(value, maximum), value, maximum);
      }
    }
    hn::StoreU(maximum, DF(), y + ox);
  }
}

// Writes which tap won; `winner` holds the first tap inside the plane, which wins where all are -infinity.
void WinnerRow(const Pool& s, PhasedPlane& in, int64_t oy, const int32_t* first_column, int32_t* winner) {
  const RowRange rows = RowsInside(s, oy);
  for (int64_t ox = 0; ox < s.out_w; ox += LanesOf()) {
    VF maximum = hn::Set(DF(), -std::numeric_limits<float>::infinity());
    auto index = hn::Add(hn::LoadU(DI(), first_column + ox),
                         hn::Set(DI(), static_cast<int32_t>(rows.begin * s.kernel_w)));
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      const float* row = in.Row(InputRow(s, oy, i)) + ox;
      for (int64_t j = 0; j < s.kernel_w; ++j) {
        const VF value = hn::LoadU(DF(), row + in.Tap(j));
        const auto wins = Wins(value, maximum);
        maximum = hn::IfThenElse(wins, value, maximum);
        index = hn::IfThenElse(hn::RebindMask(DI(), wins),
                               hn::Set(DI(), static_cast<int32_t>(i * s.kernel_w + j)), index);
      }
    }
    hn::StoreU(index, DI(), winner + ox);
  }
}

void SumRow(const Pool& s, PhasedPlane& in, int64_t oy, float* y) {
  const RowRange rows = RowsInside(s, oy);
  const VF count = hn::Set(DF(), static_cast<float>(s.kernel_h * s.kernel_w));
  for (int64_t ox = 0; ox < s.out_w; ox += LanesOf()) {
    VF sum = hn::Zero(DF());
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      const float* row = in.Row(InputRow(s, oy, i)) + ox;
      for (int64_t j = 0; j < s.kernel_w; ++j) sum = hn::Add(sum, hn::LoadU(DF(), row + in.Tap(j)));
    }
    hn::StoreU(hn::Div(sum, count), DF(), y + ox);
  }
}

// Adds contribution(i, j, ox) to the elements of the windows of output row oy. Columns of the kernel fall, so
// that an element receives from windows ox in rising order. Windows that do not overlap need no sum.
template <class Contribution>
void AddTaps(const Pool& s, PhasedPlane& out, int64_t oy, const Contribution& contribution) {
  const RowRange rows = RowsInside(s, oy);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    for (int64_t j = s.kernel_w; j-- > 0;) {
      float* run = out.Row(InputRow(s, oy, i)) + out.Tap(j);
      for (int64_t ox = 0; ox < s.out_w; ox += LanesOf()) {
        const VF before = s.overlaps ? hn::LoadU(DF(), run + ox) : hn::Zero(DF());
        hn::StoreU(hn::Add(before, contribution(i, j, ox)), DF(), run + ox);
      }
    }
  }
}

// A plane of the input as f32 with `slack` readable floats behind it: in place, or in `buffer`.
template <class T>
const float* ReadPlane(const Pool& s, const T* x, int64_t plane, int64_t slack, float* buffer) {
  const T* from = x + plane * s.in_size();
  if constexpr (std::is_same_v<T, float>) {
    if ((s.planes - plane - 1) * s.in_size() >= slack) return from;
  }
  ConvertAll(from, s.in_size(), buffer);
  return buffer;
}

template <class T, class Row>
void ForwardPlanes(const Pool& s, float absent, const T* x, T* y, int64_t begin, int64_t end,
                   const Row& row) {
  PhasedPlane in(s, absent);
  const auto input = hwy::AllocateAligned<float>(s.in_size() + in.columns());
  const auto output = hwy::AllocateAligned<float>(s.out_size() + s.row_size);
  std::fill_n(input.get(), s.in_size() + in.columns(), 0.0f);
  for (int64_t plane = begin; plane < end; ++plane) {
    in.Split(ReadPlane(s, x, plane, in.columns(), input.get()));
    for (int64_t oy = 0; oy < s.out_h; ++oy) row(s, in, oy, output.get() + oy * s.out_w);
    ConvertAll(output.get(), s.out_size(), y + plane * s.out_size());
  }
}

// Calls row(plane, oy, out) for each row of outputs of each plane; it adds that row's taps to `out`.
template <class T, class Row>
void BackwardPlanes(const Pool& s, T* dx, int64_t begin, int64_t end, const Row& row) {
  PhasedPlane out(s, 0);
  const auto result = hwy::AllocateAligned<float>(s.in_size() + out.columns());
  for (int64_t plane = begin; plane < end; ++plane) {
    if (s.overlaps) out.Clear();
    for (int64_t oy = 0; oy < s.out_h; ++oy) row(plane, oy, out);
    out.Merge(result.get());
    ConvertAll(result.get(), s.in_size(), dx + plane * s.in_size());
  }
}

template <class T>
void MaxBackwardPlanes(const Pool& s, const T* x, const T* dy, T* dx, int64_t begin, int64_t end) {
  PhasedPlane in(s, -std::numeric_limits<float>::infinity());
  const auto input = hwy::AllocateAligned<float>(s.in_size() + in.columns());
  const auto gradient = hwy::AllocateAligned<float>(s.out_size() + s.row_size);
  const auto first_column = hwy::AllocateAligned<int32_t>(s.row_size);
  const auto winner = hwy::AllocateAligned<int32_t>(s.row_size);
  std::fill_n(input.get(), s.in_size() + in.columns(), 0.0f);
  std::fill_n(gradient.get(), s.out_size() + s.row_size, 0.0f);
  for (int64_t ox = 0; ox < s.row_size; ++ox) {
    first_column[ox] = static_cast<int32_t>(std::max<int64_t>(0, s.padding_w - ox * s.stride_w));
  }
  BackwardPlanes(s, dx, begin, end, [&](int64_t plane, int64_t oy, PhasedPlane& out) HWY_ATTR {
    if (oy == 0) {
      in.Split(ReadPlane(s, x, plane, in.columns(), input.get()));
      ConvertAll(dy + plane * s.out_size(), s.out_size(), gradient.get());
    }
    WinnerRow(s, in, oy, first_column.get(), winner.get());
    std::fill(winner.get() + s.out_w, winner.get() + s.row_size, -1);
    AddTaps(s, out, oy, [&](int64_t i, int64_t j, int64_t ox) HWY_ATTR {
      const auto tap = hn::Set(DI(), static_cast<int32_t>(i * s.kernel_w + j));
      const auto won = hn::RebindMask(DF(), hn::Eq(hn::LoadU(DI(), winner.get() + ox), tap));
      return hn::IfThenElseZero(won, hn::LoadU(DF(), gradient.get() + oy * s.out_w + ox));
    });
  });
}

template <class T>
void AvgBackwardPlanes(const Pool& s, const T* dy, T* dx, int64_t begin, int64_t end) {
  const VF count = hn::Set(DF(), static_cast<float>(s.kernel_h * s.kernel_w));
  const auto share = hwy::AllocateAligned<float>(s.row_size);
  std::fill_n(share.get(), s.row_size, 0.0f);
  BackwardPlanes(s, dx, begin, end, [&](int64_t plane, int64_t oy, PhasedPlane& out) HWY_ATTR {
    const T* row = dy + plane * s.out_size() + oy * s.out_w;
    ForVectors(s.out_w, [&](auto vector, int64_t ox) HWY_ATTR {
      vector.store(hn::Div(vector.load(row + ox), count), share.get() + ox);
    });
    AddTaps(s, out, oy,
            [&](int64_t, int64_t, int64_t ox) HWY_ATTR { return hn::LoadU(DF(), share.get() + ox); });
  });
}

void MaxForward(const PoolShape& s, Dtype dtype, const void* x, void* y, int64_t begin, int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    ForwardPlanes(Pool(s), -std::numeric_limits<float>::infinity(), static_cast<const T*>(x),
                  static_cast<T*>(y), begin, end, MaxRow);
  });
}

void MaxBackward(const PoolShape& s, Dtype dtype, const void* x, const void* dy, void* dx, int64_t begin,
                 int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    MaxBackwardPlanes(Pool(s), static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<T*>(dx),
                      begin, end);
  });
}

void AvgForward(const PoolShape& s, Dtype dtype, const void* x, void* y, int64_t begin, int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    ForwardPlanes(Pool(s), 0.0f, static_cast<const T*>(x), static_cast<T*>(y), begin, end, SumRow);
  });
}

void AvgBackward(const PoolShape& s, Dtype dtype, const void* dy, void* dx, int64_t begin, int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    AvgBackwardPlanes(Pool(s), static_cast<const T*>(dy), static_cast<T*>(dx), begin, end);
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

// Calls write(begin, end) for planes of a result, shared among threads where that is worth it.
void write_planes(const char* kernel, const PoolShape& s, int64_t plane, Dtype dtype, const void* result,
                  ResultPieces* pieces, const auto& write) {
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, s.height * s.width));
  parallel_for(kernel, s.planes, grain, [&](int64_t begin, int64_t end) {
    write_in_pieces(pieces, result, {plane, size_bytes(dtype)}, begin, end, write);
  });
}

int64_t plane_in(const PoolShape& s) { return s.height * s.width; }
int64_t plane_out(const PoolShape& s) { return s.out_height() * s.out_width(); }

}  // namespace

void max_pool2d(const PoolShape& shape, Dtype dtype, const void* x, void* y, ResultPieces* pieces) {
  write_planes("max_pool2d", shape, plane_out(shape), dtype, y, pieces, [&](int64_t begin, int64_t end) {
    if (is_2x2(shape)) return max_pool_2x2(shape, dtype, x, y, begin, end);
    HWY_DYNAMIC_DISPATCH(MaxForward)(shape, dtype, x, y, begin, end);
  });
}

void max_pool2d_backward(const PoolShape& shape, Dtype dtype, const void* x, const void* dy, void* dx,
                         ResultPieces* pieces) {
  write_planes("max_pool2d_backward", shape, plane_in(shape), dtype, dx, pieces,
               [&](int64_t begin, int64_t end) {
                 if (is_2x2(shape)) return max_pool_2x2_backward(shape, dtype, x, dy, dx, begin, end);
                 HWY_DYNAMIC_DISPATCH(MaxBackward)(shape, dtype, x, dy, dx, begin, end);
               });
}

void avg_pool2d(const PoolShape& shape, Dtype dtype, const void* x, void* y, ResultPieces* pieces) {
  write_planes("avg_pool2d", shape, plane_out(shape), dtype, y, pieces, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AvgForward)(shape, dtype, x, y, begin, end);
  });
}

void avg_pool2d_backward(const PoolShape& shape, Dtype dtype, const void* dy, void* dx,
                         ResultPieces* pieces) {
  write_planes("avg_pool2d_backward", shape, plane_in(shape), dtype, dx, pieces,
               [&](int64_t begin, int64_t end) {
                 HWY_DYNAMIC_DISPATCH(AvgBackward)(shape, dtype, dy, dx, begin, end);
               });
}

}  // namespace faultline
#endif  // HWY_ONCE
