#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <random>
#include <vector>

namespace faultline {

inline bool same(float x, float y) {
  return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y) || (std::isnan(x) && std::isnan(y));
}

inline float bf16(uint32_t pattern) { return std::bit_cast<float>(pattern << 16); }

// Operands by category; every value is a bf16.
using Random = std::mt19937;
struct Fill {
  const char* name;
  float (*draw)(Random& random);
};

// A random sign and fraction with an exponent field in [lowest, highest].
inline float with_exponent(Random& random, uint32_t lowest, uint32_t highest) {
  const uint32_t exponent = lowest + random() % (highest - lowest + 1);
  return bf16((random() & 0x807f) | exponent << 7);
}

inline float special(Random& random) {
  const float values[] = {HUGE_VALF, -HUGE_VALF, std::nanf(""), 0.0f, -0.0f, bf16(0x7f7f), bf16(0x0001)};
  return random() % 16 == 0 ? values[random() % std::size(values)] : with_exponent(random, 120, 130);
}

inline const Fill kFills[] = {
    {"ordinary", [](Random& random) { return with_exponent(random, 117, 130); }},
    {"wide exponents", [](Random& random) { return with_exponent(random, 40, 200); }},
    {"results about 2^-126", [](Random& random) { return with_exponent(random, 61, 67); }},
    {"subnormals", [](Random& random) { return with_exponent(random, 0, random() % 2 ? 2 : 127); }},
    {"overflow", [](Random& random) { return with_exponent(random, 185, 192); }},
    {"infinities, NaNs and zeros", special},
    {"raw patterns", [](Random& random) { return bf16(random() & 0xffff); }},
};

struct Operands {
  Operands(const Fill& fill, int64_t M, int64_t N, int64_t K, uint32_t seed) : a(M * K), b(K * N) {
    Random random(seed);
    for (float& x : a) x = fill.draw(random);
    for (float& x : b) x = fill.draw(random);
  }
  std::vector<float> a, b;
};

}  // namespace faultline
