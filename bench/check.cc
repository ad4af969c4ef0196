#include "bench/check.h"

#include <fmt/format.h>

#include <cmath>
#include <random>

#include "engine/base/error.h"
#include "engine/numerics/dtype.h"

namespace faultline::bench {

Floats uniform(int64_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> distribution(-1, 1);
  Floats values(size);
  for (float& value : values) value = distribution(random);
  return values;
}

Floats absolute(Floats values) {
  for (float& value : values) value = std::fabs(value);
  return values;
}

void check_sums(const std::string& who, int64_t k, const Floats& ours, const Floats& theirs,
                const Floats& magnitude) {
  const double ku = static_cast<double>(k) * unit_roundoff(Dtype::kF32), gamma = ku / (1 - ku);
  for (size_t i = 0; i < ours.size(); ++i) {
    const double bound = 2 * gamma / (1 - gamma) * double{magnitude[i]};
    if (std::fabs(double{ours[i]} - double{theirs[i]}) <= bound) continue;
    throw Error(ErrorCode::kMismatch, who,
                fmt::format("element {} is {}, ours is {}; rounding explains {} at most", i, theirs[i],
                            ours[i], bound));
  }
}

}  // namespace faultline::bench
