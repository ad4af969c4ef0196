#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/kernels/image_out.h"
#include "engine/kernels/planes.h"
#include "engine/kernels/planned_sum.h"
#include "engine/mma/unit.h"

namespace faultline {

// Positions of a tile of outputs, about.
inline constexpr int64_t kCorrelationTilePositions = 1024;

// out(sample, m, r, c) = sum over k of weight(m, k) * the plane element at tap[k] + r * width + c: a
// convolution forward, or the part of dx whose positions have one residue of the stride.
template <class T>
struct CorrelationOf {
  const PlaneLayout& layout;  // of the planes
  int64_t M, rows, cols;
  const T* weights;  // element (m, k) at m * weight_row + weight_step[k]
  int64_t weight_row;
  std::vector<int64_t> weight_step;
  std::vector<int64_t> tap;  // offsets in a sample
  ImageOut out;

  int64_t K() const { return tap.size(); }
};
using Correlation = CorrelationOf<float>;

// Finishes rows [row, row + rows) of one channel's sums, `stride` apart.
inline void store_rows(const Correlation& c, int64_t sample, int64_t m, int64_t row, int64_t rows,
                       int64_t stride, float* values) {
  store_rows(c.out, c.cols, sample, m, row, rows, stride, values);
}

// Shows each part of each sample, so many neighbouring channels, to who looks at pieces once all its rows are stored.
template <class T>
class StoredRows {
 public:
  StoredRows(const CorrelationOf<T>& c, int64_t parts_of_sample)
      : c_(c), parts_(parts_of_sample), rows_(is_dense(c) && c.out.array.pieces ? c.layout.N * parts_ : 0) {}

  // So many more rows of channels [first, last) are stored; from any thread.
  void add(int64_t rows, int64_t sample, int64_t part, int64_t first, int64_t last) const {
    if (rows_.empty() || (rows_[sample * parts_ + part] += rows) < c_.rows) return;
    show_channels(c_.out, sample, first, last);
  }

 private:
  // Else elements of other residues lie between.
  static bool is_dense(const CorrelationOf<T>& c) { return c.out.channel == c.rows * c.cols; }

  const CorrelationOf<T>& c_;
  int64_t parts_;
  mutable std::vector<std::atomic<int64_t>> rows_;
};

// Computes the correlation in chains of fma, under the name `kernel` in threads_used().
void correlate_chains(const char* kernel, const Correlation& correlation, const PlaneSource& source,
                      const Arithmetic& arithmetic);

// What a step of k of a row of outputs takes with positions and with channels in the vectors: in multiply-adds.
inline double work_by_positions(const Correlation& c) { return c.M * c.layout.width; }
double work_by_channels(const Correlation& correlation);

// Whether chains run faster with channels in the vectors than with positions, and the product that has them there.
bool channels_fill_vectors(const Correlation& correlation);
void correlate_by_channels(const char* kernel, const Correlation& correlation, const PlaneSource& source,
                           const KPlan& plan, const KFormats& formats);

// Whether chains run faster still with samples in the vectors, which need no padding, and the product that has them
// there. It leaves out the taps that read padding: terms of 0, which change a sum only where a weight is not finite or
// where it is -0. Returns false if that may have been so; then the output is to be computed otherwise.
bool samples_fill_vectors(const Correlation& correlation, const PlaneSource& source);
bool correlate_by_samples(const char* kernel, const Correlation& correlation, const PlaneSource& source,
                          const KPlan& plan, const KFormats& formats);

// Images as a unit reads them: samples interleaved in groups if it reads windows, else planes.
class UnitImages {
 public:
  UnitImages(const PlaneSource& source, const Unit& unit);

  int64_t group() const { return group_; }  // samples that lie side by side
  const float* data() const { return planes_ ? planes_->data() : interleaved_->data(); }

 private:
  int64_t group_ = 1;
  std::optional<InterleavedPlanes> interleaved_;  // or
  std::optional<Planes> planes_;
};

// The same on any other unit, and on one that packs bf16 itself.
void correlate_on_unit(const char* kernel, const Correlation& correlation, const UnitImages& images,
                       const Unit& unit, Dtype input, const Arithmetic& arithmetic);
void correlate_by_tiles(const char* kernel, const CorrelationOf<Bf16>& correlation,
                        const PlanesOf<Bf16>& planes, const UnitTiles& tiles, const Arithmetic& arithmetic);

}  // namespace faultline
