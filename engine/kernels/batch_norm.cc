#include "engine/kernels/batch_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/batch_norm.cc"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/kernels/elementwise.h"
#include "engine/kernels/lanes-inl.h"
#include "engine/kernels/normalize-inl.h"
#include "engine/numerics/sum.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

// One channel: where its samples begin.
struct Channel {
  Channel(const BatchNormShape& shape, int64_t c) : shape(shape), c(c) {}
  int64_t begin(int64_t sample) const { return (sample * shape.channels + c) * shape.positions; }
  float terms() const { return static_cast<float>(shape.samples * shape.positions); }

  const BatchNormShape& shape;
  int64_t c;
};

// Writes kSums sums over the channel at once; add(sums, sample begin) folds a sample into them.
template <int kSums, class Add>
HWY_INLINE void SumChannel(const Channel& channel, Add add, float* const (&out)[kSums]) {
  std::vector<float> leaves[kSums];
  for (int64_t sample = 0; sample < channel.shape.samples;) {
    const int64_t end = std::min(sample + kLeafSamples, channel.shape.samples);
    LaneSum sums[kSums];
    for (; sample < end; ++sample) add(sums, channel.begin(sample));
    for (int i = 0; i < kSums; ++i) leaves[i].push_back(sums[i].total());
  }
  for (int i = 0; i < kSums; ++i) *out[i] = tree_join(std::move(leaves[i]));
}

template <class T>
void Forward(const Channel& channel, const BatchNormForward& call) {
  const T* const x = static_cast<const T*>(call.x);
  T* const y = static_cast<T*>(call.y);
  const int64_t n = channel.shape.positions, c = channel.c;
  const DF d;
  SumChannel<1>(channel, [=](LaneSum(&sums)[1], int64_t begin) HWY_ATTR { sums[0].add(x + begin, n); },
                {call.mean + c});
  call.mean[c] /= channel.terms();
  const VF mean = hn::Set(d, call.mean[c]);
  SumChannel<1>(channel,
                [=](LaneSum(&sums)[1], int64_t begin) HWY_ATTR {
                  sums[0].fold(n, [=](VF lanes, auto vector, int64_t i) HWY_ATTR {
                    return AddDeviation(lanes, vector.load(x + begin + i), mean);
                  });
                },
                {call.squares + c});
  call.r[c] = 1 / std::sqrt(call.squares[c] / channel.terms() + call.eps);
  const VF r = hn::Set(d, call.r[c]), gamma = hn::Set(d, call.gamma[c]), beta = hn::Set(d, call.beta[c]);
  for (int64_t sample = 0; sample < channel.shape.samples; ++sample) {
    const int64_t begin = channel.begin(sample);
    ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
      const VF xhat = Normalized(vector.load(x + begin + i), mean, r);
      vector.store(hn::MulAdd(xhat, gamma, beta), y + begin + i);
    });
  }
}

template <class T>
void Backward(const Channel& channel, const BatchNormBackward& call) {
  const T *const x = static_cast<const T*>(call.x), *const dy = static_cast<const T*>(call.dy);
  const int64_t n = channel.shape.positions, c = channel.c;
  const DF d;
  const VF mean = hn::Set(d, call.mean[c]), r = hn::Set(d, call.r[c]);
  SumChannel<2>(channel,
                [=](LaneSum(&sums)[2], int64_t begin) HWY_ATTR {
                  sums[0].add(dy + begin, n);
                  sums[1].add(n, [=](auto vector, int64_t i) HWY_ATTR {
                    const VF xhat = Normalized(vector.load(x + begin + i), mean, r);
                    return hn::Mul(vector.load(dy + begin + i), xhat);
                  });
                },
                {call.s1 + c, call.s2 + c});
  T* const dx = static_cast<T*>(call.dx);
  if (dx == nullptr) return;
  const VF scale = hn::Set(d, call.gamma[c] * call.r[c]);
  const VF m1 = hn::Set(d, call.s1[c] / channel.terms()), m2 = hn::Set(d, call.s2[c] / channel.terms());
  for (int64_t sample = 0; sample < channel.shape.samples; ++sample) {
    const int64_t begin = channel.begin(sample);
    ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
      const VF xhat = Normalized(vector.load(x + begin + i), mean, r);
      vector.store(GradientOfNormalized(scale, vector.load(dy + begin + i), m1, xhat, m2), dx + begin + i);
    });
  }
}

void forward_channel(const BatchNormShape& shape, int64_t c, const BatchNormForward& call) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR { Forward<T>({shape, c}, call); });
}

void backward_channel(const BatchNormShape& shape, int64_t c, const BatchNormBackward& call) {
  VisitKernelFormat(shape.dtype, [&]<class T>() HWY_ATTR { Backward<T>({shape, c}, call); });
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
