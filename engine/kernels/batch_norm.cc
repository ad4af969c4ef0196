#include "engine/kernels/batch_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/batch_norm.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/kernels/elementwise.h"
#include "engine/kernels/lanes-inl.h"
#include "engine/kernels/normalize-inl.h"
#include "engine/kernels/relu-inl.h"
#include "engine/kernels/scratch.h"
#include "engine/numerics/sum.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

// One channel: where its samples begin, in the tensors and in a copy.
struct Channel {
  Channel(const BatchNormShape& shape, int64_t c) : shape(shape), c(c) {}
  int64_t begin(int64_t sample) const { return (sample * shape.channels + c) * shape.positions; }
  int64_t size() const { return shape.samples * shape.positions; }
  float terms() const { return static_cast<float>(size()); }

  const BatchNormShape& shape;
  int64_t c;
};

// Calls body(begin, copied): where a sample begins in the tensors and in a copy of the channel.
template <class Body>
HWY_INLINE void ForSamples(const Channel& channel, Body body) {
  for (int64_t sample = 0; sample < channel.shape.samples; ++sample) {
    body(channel.begin(sample), sample * channel.shape.positions);
  }
}

// Writes kSums sums over the channel at once; add(sums, begin, copied) folds a sample into them.
template <int kSums, class Add>
HWY_INLINE void SumChannel(const Channel& channel, Add add, float* const (&out)[kSums]) {
  std::vector<float> leaves[kSums];
  for (int64_t sample = 0; sample < channel.shape.samples;) {
    const int64_t end = std::min(sample + kLeafSamples, channel.shape.samples);
    LaneSum sums[kSums];
    for (; sample < end; ++sample) add(sums, channel.begin(sample), sample * channel.shape.positions);
    for (int i = 0; i < kSums; ++i) leaves[i].push_back(sums[i].total());
  }
  for (int i = 0; i < kSums; ++i) *out[i] = tree_join(std::move(leaves[i]));
}

// The value that a tensor of format T keeps.
template <class T>
HWY_INLINE VF Rounded(VF value) {
  const T* const format = nullptr;
  return Widen(format, Narrow(value, format));
}

// Where a result goes. A large one goes past the caches: it would drive out of them what is read, and each of its lines
// would be read before it is written. Where somebody looks at its pieces, each is stored at `piece` first, and shown
// there.
template <class T>
class Result {
 public:
  Result(const BatchNormShape& shape, void* data, ResultPieces* pieces, float* piece)
      : n_(shape.positions),
        data_(static_cast<T*>(data)),
        pieces_(pieces),
        piece_(reinterpret_cast<T*>(piece)) {
    constexpr int64_t kLarge = 4 << 20, kAligned = 64, kSize = sizeof(T);
    streamed_ = shape.samples * shape.channels * n_ * kSize >= kLarge && n_ * kSize % kAligned == 0 &&
                reinterpret_cast<uintptr_t>(data) % kAligned == 0;
  }

  bool wanted() const { return data_ != nullptr; }

  // Stores elements from i on of a piece that begins at element `begin`: one channel of one sample.
  template <class Vector>
  HWY_INLINE void store(const Vector& vector, VF value, int64_t begin, int64_t i) const {
    if (pieces_)
      vector.store(value, piece_ + i);
    else
      put(vector, value, data_ + begin + i);
  }

  // Ends the piece.
  HWY_INLINE void show(int64_t begin) const {
    if (!pieces_) return;
    pieces_->written(begin, begin + n_, piece_);
    ForVectors(n_, [this, begin](auto vector, int64_t i)
                       HWY_ATTR { put(vector, vector.load(piece_ + i), data_ + begin + i); });
  }

 private:
  template <class Vector>
  HWY_INLINE void put(const Vector& vector, VF value, T* to) const {
    if (streamed_)
      hn::Stream(Narrow(value, to), DBits<T>(), Bits(to));
    else
      vector.store(value, to);
  }

  int64_t n_;
  T* data_;
  ResultPieces* pieces_;
  T* piece_;
  bool streamed_;
};

// The first pass over a channel copies it for the others: its samples lie apart, often by a power of two, and would drive
// each other out of a cache. Behind each begins another page, so the next one is asked for ahead.
template <class T, class Y>
void Forward(const Channel& channel, const BatchNormForward& call) {
  const T* const x = static_cast<const T*>(call.x);
  const Y* const residual = static_cast<const Y*>(call.residual);
  const bool relu = call.relu;
  const int64_t n = channel.shape.positions, c = channel.c, ahead = channel.shape.channels * n;
  const Scratch scratch(channel.size() + n);
  float *const copy = scratch.data(), *const piece = copy + channel.size();
  const Result<Y> y(channel.shape, call.y, call.y_pieces, piece);
  const DF d;
  SumChannel<1>(channel,
                [=](LaneSum(&sums)[1], int64_t begin, int64_t copied) HWY_ATTR {
                  ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
                    hwy::Prefetch(x + begin + ahead + i);
                    vector.store(vector.load(x + begin + i), copy + copied + i);
                  });
                  sums[0].add(copy + copied, n);
                },
                {call.mean + c});
  call.mean[c] /= channel.terms();
  const VF mean = hn::Set(d, call.mean[c]);
  SumChannel<1>(channel,
                [=](LaneSum(&sums)[1], int64_t, int64_t copied) HWY_ATTR {
                  sums[0].fold(n, [=](VF lanes, auto vector, int64_t i) HWY_ATTR {
                    return AddDeviation(lanes, vector.load(copy + copied + i), mean);
                  });
                },
                {call.squares + c});
  call.r[c] = 1 / std::sqrt(call.squares[c] / channel.terms() + call.eps);
  const VF r = hn::Set(d, call.r[c]), gamma = hn::Set(d, call.gamma[c]), beta = hn::Set(d, call.beta[c]);
  ForSamples(channel, [=](int64_t begin, int64_t copied) HWY_ATTR {
    ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
      VF value = hn::MulAdd(Normalized(vector.load(copy + copied + i), mean, r), gamma, beta);
      if (residual) {
        hwy::Prefetch(residual + begin + ahead + i);
        value = hn::Add(Rounded<T>(value), vector.load(residual + begin + i));
      }
      if (relu) value = PassedByRelu(value, value);
      y.store(vector, value, begin, i);
    });
    y.show(begin);
  });
}

template <class T, class Y>
void Backward(const Channel& channel, const BatchNormBackward& call) {
  const T* const x = static_cast<const T*>(call.x);
  const Y *const y = static_cast<const Y*>(call.y), *const dy = static_cast<const Y*>(call.dy);
  const int64_t n = channel.shape.positions, c = channel.c, ahead = channel.shape.channels * n;
  const Scratch scratch(2 * channel.size() + n);
  float *const gradients = scratch.data(), *const xhats = gradients + channel.size(),
               *const piece = xhats + channel.size();
  const Result<Y> dresidual(channel.shape, call.dresidual, call.dresidual_pieces, piece);
  const Result<T> dx(channel.shape, call.dx, call.dx_pieces, piece);
  const DF d;
  const VF mean = hn::Set(d, call.mean[c]), r = hn::Set(d, call.r[c]);
  SumChannel<2>(channel,
                [=](LaneSum(&sums)[2], int64_t begin, int64_t copied) HWY_ATTR {
                  float *const g = gradients + copied, *const xhat = xhats + copied;
                  ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
                    hwy::Prefetch(x + begin + ahead + i);
                    hwy::Prefetch(dy + begin + ahead + i);
                    VF gradient = vector.load(dy + begin + i);
                    if (y) {
                      hwy::Prefetch(y + begin + ahead + i);
                      gradient = PassedByRelu(vector.load(y + begin + i), gradient);
                    }
                    vector.store(Normalized(vector.load(x + begin + i), mean, r), xhat + i);
                    vector.store(Rounded<T>(gradient), g + i);
                    if (dresidual.wanted()) dresidual.store(vector, gradient, begin, i);
                  });
                  dresidual.show(begin);
                  sums[0].add(g, n);
                  sums[1].add(n, [=](auto vector, int64_t i)
                                     HWY_ATTR { return hn::Mul(vector.load(g + i), vector.load(xhat + i)); });
                },
                {call.s1 + c, call.s2 + c});
  if (!dx.wanted()) return;
  const VF scale = hn::Set(d, call.gamma[c] * call.r[c]);
  const VF m1 = hn::Set(d, call.s1[c] / channel.terms()), m2 = hn::Set(d, call.s2[c] / channel.terms());
  ForSamples(channel, [=](int64_t begin, int64_t copied) HWY_ATTR {
    ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
      const VF g = vector.load(gradients + copied + i), xhat = vector.load(xhats + copied + i);
      dx.store(vector, GradientOfNormalized(scale, g, m1, xhat, m2), begin, i);
    });
    dx.show(begin);
  });
}

// Calls body with the types of x and y.
template <class Body>
void VisitFormats(const BatchNormShape& shape, Body body) {
  VisitKernelFormat(shape.x, [&]<class T>() HWY_ATTR {
    if (shape.y == shape.x)
      body.template operator()<T, T>();
    else
      body.template operator()<T, float>();
  });
}

void forward_channel(const BatchNormShape& shape, int64_t c, const BatchNormForward& call) {
  VisitFormats(shape, [&]<class T, class Y>() HWY_ATTR { Forward<T, Y>({shape, c}, call); });
  hwy::FlushStream();
}

void backward_channel(const BatchNormShape& shape, int64_t c, const BatchNormBackward& call) {
  VisitFormats(shape, [&]<class T, class Y>() HWY_ATTR { Backward<T, Y>({shape, c}, call); });
  hwy::FlushStream();
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(forward_channel);
HWY_EXPORT(backward_channel);

void for_channels(const BatchNormShape& shape, const auto& run) {
  parallel_for_rows("batch_norm", shape.channels, shape.samples * shape.positions, run);
}

}  // namespace

void batch_norm_forward(const BatchNormShape& shape, const BatchNormForward& call) {
  for_channels(shape, [&](int64_t c) { HWY_DYNAMIC_DISPATCH(forward_channel)(shape, c, call); });
}

void batch_norm_backward(const BatchNormShape& shape, const BatchNormBackward& call) {
  for_channels(shape, [&](int64_t c) { HWY_DYNAMIC_DISPATCH(backward_channel)(shape, c, call); });
}

}  // namespace faultline
#endif  // HWY_ONCE
