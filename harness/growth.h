#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/ledger.h"

namespace faultline::harness {

// Distance of two runs in one parameter at one common snapshot.
struct GrowthPoint {
  int64_t step = 0;
  std::string parameter;
  double distance = 0;  // max |a - b|
  double relative = 0;  // distance / max |a|; infinite where a is all zero and b is not
  int64_t ulps = 0;     // largest distance of two elements in units in the last place
};

// Returns the distance per common snapshot (rising) and parameter (by name): the heat map of a report.
std::vector<GrowthPoint> growth(const Ledger& a, const Ledger& b);

// Returns max |a - b| over all parameters at the last common snapshot; 0 without one.
double largest_weight_difference(const Ledger& a, const Ledger& b);

}  // namespace faultline::harness
