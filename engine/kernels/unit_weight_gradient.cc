#include "engine/kernels/unit_weight_gradient.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/scratch.h"
#include "engine/kernels/unit_sum.h"

namespace faultline {
namespace {

// Taps that a tile reads as windows at most, so that what is packed of them stays in the L2 cache.
constexpr int64_t kTileTaps = 512;

// On any unit, as dy [OC, positions] * image [positions, taps]. dy is written out, and so is the image for a unit that
// does not read windows. A tile is some taps with all channels or, where they are read as windows, with a thread's
// share of them: it takes longer to prepare dy than the windows, and few taps waste lanes.
class UnitGradient {
 public:
  UnitGradient(const WeightGradient& g, const Unit& unit)
      : g_(g),
        unit_(unit),
        run_(g.shape.stride_w == 1 ? g.shape.KW : 1),
        offsets_(g),
        positions_(offsets_.position.size()),
        taps_(offsets_.tap.size()),
        K_(g.shape.N * positions_),
        left_(g.shape.OC * K_) {
    const int64_t lines = g.shape.N * g.shape.OC;
    parallel_for("conv2d_dw.pack", lines, thread_grain(lines, kMoveWork * lines * positions_),
                 [&](int64_t first, int64_t last) {
                   for (int64_t i = first; i < last; ++i) pack_line(i);
                 });
  }

  void run(Dtype input, const KPlan& plan, const KFormats& formats) const {
    const int64_t OC = g_.shape.OC;
    UnitSum sum{
        "conv2d_dw",
        unit_,
        plan,
        formats,
        input,
        K_,
        left_.data(),
        cut_into(OC, unit_.windows ? ceil_div(OC, threads()) : OC),
        cut_into(taps_, tile_taps()),
        [&](const UnitSum::Interval& m, const UnitSum::Interval& n, float* sums) { finish(m, n, sums); },
        [&](const KPlan::Range& k, const UnitSum::Interval& n, float* out) { right(k, n, out); }};
    std::unique_ptr<int64_t[]> steps;
    std::vector<int64_t> origins;
    if (unit_.windows) {
      steps = image_steps();
      for (int64_t tap = 0; tap < taps_; tap += run_) origins.push_back(offsets_.tap[tap]);
      sum.multiply = [&](const KPlan::Range& k, int64_t m, const UnitSum::Interval& n, const float* left,
                         float* out) {
        unit_.windows({m,
                       n.size(),
                       k.end - k.begin,
                       left,
                       {g_.image.data(), g_.shape.N * g_.image.layout().sample(), steps.get() + k.begin,
                        origins.data() + n.begin / run_, run_},
                       out,
                       input,
                       formats.accumulate});
      };
    }
    run_unit_sum(sum);
  }

 private:
  // Widens the i-th line of left, whose channels hold the samples one after the other.
  void pack_line(int64_t i) {
    const int64_t channel = i / g_.shape.N, sample = i % g_.shape.N;
    const int64_t from = (sample * g_.shape.OC + channel) * positions_;
    const char* const dy = static_cast<const char*>(g_.dy.data) + from * size_bytes(g_.dy.dtype);
    widen_rows({dy, g_.dy.dtype, positions_}, 1, positions_, g_.arithmetic, left_.data() + i * positions_);
  }

  // Where the positions of all samples read the image.
  std::unique_ptr<int64_t[]> image_steps() const {
    auto steps = std::make_unique_for_overwrite<int64_t[]>(K_);
    const int64_t* const position = offsets_.position.data();
    for (int64_t sample = 0; sample < g_.shape.N; ++sample) {
      int64_t* const to = steps.get() + sample * positions_;
      const int64_t image = sample * g_.image.layout().sample();
      for (int64_t i = 0; i < positions_; ++i) to[i] = image + position[i];
    }
    return steps;
  }

  // With windows whole runs; parts of them where there are more threads than channels.
  int64_t tile_taps() const {
    if (!unit_.dot) return taps_;
    if (!unit_.windows) return register_block(taps_).columns;
    const int64_t runs = taps_ / run_, most = std::max<int64_t>(kTileTaps / run_, 1);
    return std::min(ceil_div(runs, ceil_div(threads(), g_.shape.OC)), most) * run_;
  }

  // What the taps n read at the positions k, position by position.
  void right(const KPlan::Range& k, const UnitSum::Interval& n, float* out) const {
    const Scratch reads(n.size() * kReadStride);
    for (int64_t begin = k.begin; begin < k.end; begin += kReads) {
      const int64_t end = std::min(begin + kReads, k.end);
      for (int64_t tap = n.begin; tap < n.end; ++tap) {
        read(tap, begin, end, reads.data() + (tap - n.begin) * kReadStride);
      }
      float* block = out + (begin - k.begin) * n.size();
      copy_dense({reads.data(), 1, kReadStride}, end - begin, n.size(), block);
    }
  }

  // One tap at the positions [begin, end): rows of outputs lie side by side.
  void read(int64_t tap, int64_t begin, int64_t end, float* out) const {
    const int64_t OW = g_.shape.OW();
    for (int64_t i = begin, count; i < end; i += count) {
      const int64_t position = i % positions_;
      count = std::min(OW - position % OW, end - i);
      const float* sample = g_.image.data() + i / positions_ * g_.image.layout().sample();
      out = std::copy_n(sample + offsets_.tap[tap] + offsets_.position[position], count, out);
    }
  }

  void finish(const UnitSum::Interval& m, const UnitSum::Interval& n, const float* sums) const {
    const Dtype dtype = g_.dw.dtype;
    char* out = static_cast<char*>(g_.dw.data) + (m.begin * taps_ + n.begin) * size_bytes(dtype);
    convert_rows({sums, Dtype::kF32, n.size()}, {out, dtype, taps_}, m.size(), n.size());
  }

  // Positions read before they are transposed: they stay in the L1 cache, and lines do not share its sets.
  static constexpr int64_t kReads = 256, kReadStride = kReads + 16;

  const WeightGradient& g_;
  const Unit& unit_;
  int64_t run_;  // of taps that read adjacent values
  ImageOffsets offsets_;
  int64_t positions_, taps_, K_;
  Scratch left_;
};

}  // namespace

void weight_gradient_on_unit(const WeightGradient& g, const Unit& unit, Dtype input, const KPlan& plan,
                             const KFormats& formats) {
  UnitGradient(g, unit).run(input, plan, formats);
}

}  // namespace faultline
