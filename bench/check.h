#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace faultline::bench {

// Operands of a comparison: uniform in [-1, 1).
std::vector<float> uniform(int64_t size, uint32_t seed);
std::vector<float> absolute(std::vector<float> values);

// Throws kMismatch with the first element where two f32 sums of the same k products differ by more than both
// can be off: 2 gamma(k) sum |a||b|. `magnitude` is that sum in f32, itself at most gamma(k) too small.
void check_sums(const std::string& who, int64_t k, const std::vector<float>& ours,
                const std::vector<float>& theirs, const std::vector<float>& magnitude);

}  // namespace faultline::bench
