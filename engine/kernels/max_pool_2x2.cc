#include "engine/kernels/max_pool_2x2.h"

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/max_pool_2x2.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/kernels/convert-inl.h"
#include "engine/kernels/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

// A later value takes the place of the maximum if it is greater, or the first NaN.
HWY_INLINE hn::Mask<DF> Wins(VF value, VF maximum) {
  return hn::AndNot(hn::IsNaN(maximum), hn::Not(hn::Le(value, maximum)));
}

// The windows of one vector of outputs, in the order in which they are read.
struct Windows {
  VF value[4];
};
HWY_INLINE Windows Load(const float* upper, const float* lower) {
  Windows w;
  hn::LoadInterleaved2(DF(), upper, w.value[0], w.value[1]);
  hn::LoadInterleaved2(DF(), lower, w.value[2], w.value[3]);
  return w;
}

// Floats that vectors read or write behind the end of a plane.
int64_t Slack() { return 2 * static_cast<int64_t>(hn::Lanes(DF())); }

template <class From, class To>
void ConvertAll(const From* from, int64_t n, To* to) {
  ForVectors(n, [&](auto vector, int64_t i) HWY_ATTR { vector.store(vector.load(from + i), to + i); });
}

void ForwardPlane(int64_t out_h, int64_t out_w, const float* x, float* y) {
  const int64_t lanes = hn::Lanes(DF()), width = 2 * out_w;
  for (int64_t row = 0; row < out_h; ++row, x += 2 * width, y += out_w) {
    for (int64_t i = 0; i < out_w; i += lanes) {
      const Windows w = Load(x + 2 * i, x + width + 2 * i);
      VF maximum = w.value[0];
#pragma GCC unroll 3
      for (int tap = 1; tap < 4; ++tap) {
        maximum = hn::IfThenElse(Wins(w.value[tap], maximum), w.value[tap], maximum);
      }
      hn::StoreU(maximum, DF(), y + i);
    }
  }
}

// The gradient goes to the tap that won, as 0 + dy; the others get +0. A row's last vectors write past its end, into
// rows whose own vectors come after: the lower row's, since a row is walked from its end.
void BackwardPlane(int64_t out_h, int64_t out_w, const float* x, const float* dy, float* dx) {
  const int64_t lanes = hn::Lanes(DF()), width = 2 * out_w, last = (out_w - 1) / lanes * lanes;
  for (int64_t row = 0; row < out_h; ++row, x += 2 * width, dx += 2 * width, dy += out_w) {
    for (int64_t i = last; i >= 0; i -= lanes) {
      const Windows w = Load(x + 2 * i, x + width + 2 * i);
      VF maximum = w.value[0], gradient[4];
      hn::Mask<DF> wins[4];
#pragma GCC unroll 3
      for (int tap = 1; tap < 4; ++tap) {
        wins[tap] = Wins(w.value[tap], maximum);
        maximum = hn::IfThenElse(wins[tap], w.value[tap], maximum);
      }
      // The last tap that took the maximum has it.
      VF rest = hn::Add(hn::Zero(DF()), hn::LoadU(DF(), dy + i));
#pragma GCC unroll 3
      for (int tap = 3; tap > 0; --tap) {
        gradient[tap] = hn::IfThenElseZero(wins[tap], rest);
        rest = hn::IfThenZeroElse(wins[tap], rest);
      }
      hn::StoreInterleaved2(rest, gradient[1], DF(), dx + 2 * i);
      hn::StoreInterleaved2(gradient[2], gradient[3], DF(), dx + width + 2 * i);
    }
  }
}

// Planes as f32, one at a time: f32 ones where they lie, if there is slack behind them.
template <class T>
class Planes {
 public:
  Planes(T* data, int64_t size, int64_t planes)
      : data_(data), size_(size), planes_(planes), buffer_(size + Slack()) {
    std::fill_n(buffer(), size + Slack(), 0.0f);
  }

  bool InPlace(int64_t plane) const {
    return std::is_same_v<std::remove_const_t<T>, float> && (planes_ - plane - 1) * size_ >= Slack();
  }
  T* at(int64_t plane) const { return data_ + plane * size_; }
  float* buffer() const { return buffer_.data(); }

  const float* Read(int64_t plane) const {
    if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
      if (InPlace(plane)) return at(plane);
    }
    ConvertAll(at(plane), size_, buffer());
    return buffer();
  }

  // Calls body(where to write the plane).
  template <class Body>
  void Write(int64_t plane, const Body& body) const {
    if constexpr (std::is_same_v<T, float>) {
      if (InPlace(plane)) return body(at(plane));
    }
    body(buffer());
    ConvertAll(buffer(), size_, at(plane));
  }

 private:
  T* data_;
  int64_t size_, planes_;
  Scratch buffer_;
};

template <class T>
void Forward(const PoolShape& s, const T* x, T* y, int64_t begin, int64_t end) {
  const int64_t out_h = s.height / 2, out_w = s.width / 2;
  const Planes<const T> in(x, s.height * s.width, s.planes);
  const Planes<T> out(y, out_h * out_w, end);  // another thread writes what comes after
  for (int64_t plane = begin; plane < end; ++plane) {
    out.Write(plane, [&](float* to) { ForwardPlane(out_h, out_w, in.Read(plane), to); });
  }
}

template <class T>
void Backward(const PoolShape& s, const T* x, const T* dy, T* dx, int64_t begin, int64_t end) {
  const int64_t out_h = s.height / 2, out_w = s.width / 2, in_size = s.height * s.width;
  const Planes<const T> in(x, in_size, s.planes), gradient(dy, out_h * out_w, s.planes);
  const Planes<T> out(dx, in_size, end);
  for (int64_t plane = begin; plane < end; ++plane) {
    out.Write(plane,
              [&](float* to) { BackwardPlane(out_h, out_w, in.Read(plane), gradient.Read(plane), to); });
  }
}

void Forward2x2(const PoolShape& s, Dtype dtype, const void* x, void* y, int64_t begin, int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    Forward(s, static_cast<const T*>(x), static_cast<T*>(y), begin, end);
  });
}

void Backward2x2(const PoolShape& s, Dtype dtype, const void* x, const void* dy, void* dx, int64_t begin,
                 int64_t end) {
  VisitKernelFormat(dtype, [&]<class T>() HWY_ATTR {
    Backward(s, static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<T*>(dx), begin, end);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(Forward2x2);
HWY_EXPORT(Backward2x2);

}  // namespace

bool is_2x2(const PoolShape& s) {
  return s.kernel_h == 2 && s.kernel_w == 2 && s.stride_h == 2 && s.stride_w == 2 && s.padding_h == 0 &&
         s.padding_w == 0 && s.height % 2 == 0 && s.width % 2 == 0;
}

void max_pool_2x2(const PoolShape& shape, Dtype dtype, const void* x, void* y, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(Forward2x2)(shape, dtype, x, y, begin, end);
}

void max_pool_2x2_backward(const PoolShape& shape, Dtype dtype, const void* x, const void* dy, void* dx,
                           int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(Backward2x2)(shape, dtype, x, dy, dx, begin, end);
}

}  // namespace faultline
#endif  // HWY_ONCE
