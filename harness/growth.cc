#include "harness/growth.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "harness/difference.h"

namespace faultline::harness {
namespace {

Tensor as_tensor(const std::vector<float>& values) {
  Tensor tensor = Tensor::empty({static_cast<int64_t>(values.size())}, Dtype::kF32);
  std::copy(values.begin(), values.end(), tensor.mutable_data<float>());
  return tensor;
}

GrowthPoint distance(int64_t step, const std::string& parameter, const std::vector<float>& a,
                     const std::vector<float>& b) {
  const TensorDifference d = difference(as_tensor(a), as_tensor(b));
  double largest_a = 0;
  for (const float v : a) largest_a = std::max(largest_a, std::abs(double{v}));
  const double relative = d.largest == 0 ? 0 : d.largest / largest_a;
  return {step, parameter, d.largest, relative, d.largest_ulp};
}

std::vector<int64_t> common_snapshots(const Ledger& a, const Ledger& b) {
  const std::vector<int64_t> steps_a = a.snapshot_steps(), steps_b = b.snapshot_steps();
  std::vector<int64_t> common;
  std::set_intersection(steps_a.begin(), steps_a.end(), steps_b.begin(), steps_b.end(),
                        std::back_inserter(common));
  return common;
}

std::vector<GrowthPoint> growth_at(const Ledger& a, const Ledger& b, int64_t step) {
  std::vector<GrowthPoint> points;
  const auto snapshot_a = a.snapshot(step), snapshot_b = b.snapshot(step);
  for (const auto& [parameter, values] : snapshot_a) {
    const auto other = snapshot_b.find(parameter);
    if (other == snapshot_b.end() || other->second.size() != values.size()) continue;
    points.push_back(distance(step, parameter, values, other->second));
  }
  return points;
}

}  // namespace

std::vector<GrowthPoint> growth(const Ledger& a, const Ledger& b) {
  std::vector<GrowthPoint> points;
  for (const int64_t step : common_snapshots(a, b)) {
    const std::vector<GrowthPoint> here = growth_at(a, b, step);
    points.insert(points.end(), here.begin(), here.end());
  }
  return points;
}

double largest_weight_difference(const Ledger& a, const Ledger& b) {
  const std::vector<int64_t> steps = common_snapshots(a, b);
  double largest = 0;
  if (steps.empty()) return largest;
  for (const GrowthPoint& point : growth_at(a, b, steps.back())) largest = std::max(largest, point.distance);
  return largest;
}

}  // namespace faultline::harness
