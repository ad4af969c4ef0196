#include <algorithm>
#include <vector>

#include "engine/kernels/correlation.h"
#include "engine/kernels/unit_sum.h"

namespace faultline {
namespace {

// On any unit. A tile is some rows of positions of one sample, with all channels. A unit that reads windows takes
// the planes as they lie, with the positions behind each row that belong to no output; for others the matrix is
// written out.
class UnitCorrelation {
 public:
  UnitCorrelation(const Correlation& c, const Planes& planes, const Unit& unit)
      : c_(c),
        planes_(planes),
        unit_(unit),
        width_(unit.windows ? c.layout.width : c.cols),
        row_tile_(unit.dot ? std::clamp<int64_t>(kCorrelationTilePositions / width_, 1, c.rows) : c.rows),
        weights_(c.M * c.K()) {
    const int64_t K = c.K();
    for (int64_t i = 0; i < c.M * K; ++i) {
      weights_[i] = c.weights[i / K * c.weight_row + c.weight_step[i % K]];
    }
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
        const int64_t* taps = c_.tap.data() + k.begin;
        unit_.windows(
            {m, positions(n), k.end - k.begin, left, first(n), taps, out, input, formats.accumulate});
      };
    }
    run_unit_sum(sum);
  }

 private:
  // Whole rows of `width_` positions.
  std::vector<UnitSum::Interval> columns() const {
    std::vector<UnitSum::Interval> intervals;
    for (int64_t sample = 0; sample < c_.layout.N; ++sample) {
      for (const auto& [begin, end] : cut_into(c_.rows, row_tile_)) {
        intervals.push_back({(sample * c_.rows + begin) * width_, (sample * c_.rows + end) * width_});
      }
    }
    return intervals;
  }
  int64_t sample(const UnitSum::Interval& n) const { return n.begin / width_ / c_.rows; }
  int64_t row(const UnitSum::Interval& n) const { return n.begin / width_ % c_.rows; }
  // Up to the last output.
  int64_t positions(const UnitSum::Interval& n) const { return n.size() - (width_ - c_.cols); }
  const float* first(const UnitSum::Interval& n) const {
    const PlaneLayout& layout = c_.layout;
    return planes_.data() + sample(n) * layout.sample() + row(n) * layout.width;
  }

  void write_out(const KPlan::Range& k, const UnitSum::Interval& n, float* out) const {
    for (int64_t i = k.begin; i < k.end; ++i) {
      const float* image = first(n) + c_.tap[i];
      for (int64_t r = 0; r < n.size() / width_; ++r) {
        out = std::copy_n(image + r * c_.layout.width, c_.cols, out);
      }
    }
  }

  void finish(const UnitSum::Interval& n, float* sums) const {
    for (int64_t m = 0; m < c_.M; ++m) {
      store_rows(c_, sample(n), m, row(n), n.size() / width_, width_, sums + m * positions(n));
    }
  }

  const Correlation& c_;
  const Planes& planes_;
  const Unit& unit_;
  int64_t width_, row_tile_;
  std::vector<float> weights_;
};

}  // namespace

void correlate_on_unit(const char* kernel, const Correlation& c, const Planes& planes, const Unit& unit,
                       Dtype input, const Arithmetic& arithmetic) {
  const KPlan plan = plan_k(c.K(), 0, false, arithmetic);
  UnitCorrelation(c, planes, unit).run(kernel, input, plan, k_formats(arithmetic, c.out.array.dtype));
}

}  // namespace faultline
