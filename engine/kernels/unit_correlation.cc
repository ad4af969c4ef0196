#include <algorithm>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/correlation.h"
#include "engine/kernels/packing.h"
#include "engine/kernels/scratch.h"
#include "engine/kernels/unit_sum.h"

namespace faultline {
namespace {

// Of a tile of windows whose sums stay in the L2 cache.
constexpr int64_t kTileElements = 1 << 17;

// Samples of a group at least, so that padding fills whole vectors.
constexpr int64_t kSmallGroup = 16;

// Samples that lie side by side: a group for each thread, which then prepares, multiplies and stores its own samples.
int64_t samples_of_group(int64_t samples) {
  for (int64_t groups = threads(); groups > 1; --groups) {
    if (samples % groups == 0 && samples / groups >= kSmallGroup) return samples / groups;
  }
  return samples;
}

// On any unit. Columns are rows of positions, with the samples of a group side by side at each; a tile is some rows of
// one group, with all channels. A unit that reads windows takes many samples as one group: then no vector holds
// positions that belong to no output, and padding fills whole vectors, which the unit may skip. For others the matrix
// is written out, sample by sample.
class UnitCorrelation {
 public:
  UnitCorrelation(const Correlation& c, const UnitImages& images, const Unit& unit)
      : c_(c),
        unit_(unit),
        image_(images.data()),
        group_(images.group()),
        row_(c.cols * group_),
        weights_(c.M * c.K()),
        stored_(c, 1) {
    const int64_t K = c.K();
    for (int64_t i = 0; i < c.M * K; ++i) {
      weights_[i] = c.weights[i / K * c.weight_row + c.weight_step[i % K]];
    }
    for (int64_t tap : c.tap) steps_.push_back(tap * group_);
  }

  void run(const char* kernel, Dtype input, const KPlan& plan, const KFormats& formats) const {
    UnitSum sum{kernel,
                unit_,
                plan,
                formats,
                input,
                c_.K(),
                weights_.data(),
                cut_into(c_.M, c_.M),
                columns(),
                [&](const UnitSum::Interval&, const UnitSum::Interval& n, float* sums) { finish(n, sums); },
                [&](const KPlan::Range& k, const UnitSum::Interval& n, float* out) { write_out(k, n, out); }};
    if (unit_.windows) {
      sum.multiply = [&](const KPlan::Range& k, int64_t m, const UnitSum::Interval& n, const float* left,
                         float* out) {
        const std::vector<int64_t> origins = multiples(n.size() / row_, c_.layout.width * group_);
        unit_.windows({m,
                       n.size(),
                       k.end - k.begin,
                       left,
                       {first(n), size_from(n), steps_.data() + k.begin, origins.data(), row_},
                       out,
                       input,
                       formats.accumulate});
      };
    }
    run_unit_sum(sum);
  }

 private:
  std::vector<UnitSum::Interval> columns() const {
    std::vector<UnitSum::Interval> intervals;
    for (int64_t first = 0; first < c_.layout.N / group_ * c_.rows; first += c_.rows) {
      for (const auto& [begin, end] : cut_into(c_.rows, tile_rows())) {
        intervals.push_back({(first + begin) * row_, (first + end) * row_});
      }
    }
    return intervals;
  }
  // With windows equal parts for the threads.
  int64_t tile_rows() const {
    if (!unit_.dot) return c_.rows;
    if (!unit_.windows) return std::clamp<int64_t>(kCorrelationTilePositions / c_.cols, 1, c_.rows);
    const int64_t shares = ceil_div(threads(), c_.layout.N / group_);  // of a group
    const int64_t tiles = ceil_div(ceil_div(c_.M * c_.rows * row_, kTileElements), shares) * shares;
    return ceil_div(c_.rows, tiles);
  }
  int64_t sample(const UnitSum::Interval& n) const { return n.begin / row_ / c_.rows * group_; }
  int64_t row(const UnitSum::Interval& n) const { return n.begin / row_ % c_.rows; }
  const float* first(const UnitSum::Interval& n) const {
    const PlaneLayout& layout = c_.layout;
    return image_ + sample(n) * layout.sample() + row(n) * layout.width * group_;
  }

  // Of a group, from there on.
  int64_t size_from(const UnitSum::Interval& n) const {
    return (c_.layout.sample() - row(n) * c_.layout.width) * group_;
  }

  void write_out(const KPlan::Range& k, const UnitSum::Interval& n, float* out) const {
    for (int64_t i = k.begin; i < k.end; ++i) {
      const float* image = first(n) + steps_[i];
      for (int64_t r = 0; r < n.size() / row_; ++r) {
        out = std::copy_n(image + r * c_.layout.width * group_, row_, out);
      }
    }
  }

  void finish(const UnitSum::Interval& n, float* sums) const {
    const int64_t positions = n.size() / group_, rows = n.size() / row_;
    const Scratch lines(group_ > 1 ? n.size() : 0);
    for (int64_t m = 0; m < c_.M; ++m) {
      float* line = sums + m * n.size();
      if (group_ > 1) {
        copy_transposed(line, group_, group_, positions, lines.data(), positions);
        line = lines.data();
      }
      for (int64_t i = 0; i < group_; ++i) {
        store_rows(c_, sample(n) + i, m, row(n), rows, c_.cols, line + i * positions);
      }
    }
    for (int64_t i = 0; i < group_; ++i) stored_.add(rows, sample(n) + i, 0, 0, c_.M);
  }

  const Correlation& c_;
  const Unit& unit_;
  const float* image_;
  int64_t group_, row_;
  std::vector<float> weights_;
  std::vector<int64_t> steps_;
  StoredRows<float> stored_;
};

}  // namespace

UnitImages::UnitImages(const PlaneSource& source, const Unit& unit) {
  if (!unit.windows) {
    planes_.emplace(source);
    return;
  }
  group_ = samples_of_group(source.layout.N);
  interleaved_.emplace(source, group_);
}

void correlate_on_unit(const char* kernel, const Correlation& c, const UnitImages& images, const Unit& unit,
                       Dtype input, const Arithmetic& arithmetic) {
  const KPlan plan = plan_k(c.K(), 0, false, arithmetic);
  UnitCorrelation(c, images, unit).run(kernel, input, plan, k_formats(arithmetic, c.out.array.dtype));
}

}  // namespace faultline
