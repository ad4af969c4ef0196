#pragma once

#include <string>
#include <vector>

namespace faultline::bench {

// Of at least one value.
double median(std::vector<double> values);

// Half the distance of the quartiles over the median: how far figures of one thing lie apart.
double spread(std::vector<double> values);

double geometric_mean(const std::vector<double>& values);

// The order statistics between which the median of the distribution lies in at least 95 of 100 samples, whatever
// the distribution: ranks of the binomial of n and 1/2.
struct Interval {
  double low, high;
};
Interval median_interval(std::vector<double> values);

// So many significant digits, whole numbers in full: "0.123", "12.3", "12345".
std::string rounded(double value, int digits);

}  // namespace faultline::bench
