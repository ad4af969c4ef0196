#include "bench/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace faultline::bench {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return (values[3 * n / 4] - values[n / 4]) / 2 / median(values);
}

double geometric_mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

Interval median_interval(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  // The probability that at most `rank` values lie below the median, kept at 2.5 %.
  double below = 0;
  size_t rank = 0;
  for (size_t i = 0; 2 * i < values.size(); ++i) {
    below += std::exp(std::lgamma(n + 1) - std::lgamma(double(i) + 1) - std::lgamma(n - double(i) + 1) -
                      n * std::log(2.0));
    if (below > 0.025) break;
    rank = i + 1;
  }
  rank = rank == 0 ? 0 : rank - 1;
  return {values[rank], values[values.size() - 1 - rank]};
}

std::string rounded(double value, int digits) {
  return std::fabs(value) >= std::pow(10, digits - 1) ? fmt::format("{:.0f}", value)
                                                      : fmt::format("{:.{}g}", value, digits);
}

}  // namespace faultline::bench
