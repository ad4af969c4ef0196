#include <array>
#include <cstdint>
#include <limits>

#include "engine/numerics/math.h"
#include "engine/numerics/two.h"

namespace faultline {
namespace {

// The first 1280 bits of 2 / pi after the binary point.
constexpr std::array<uint64_t, 20> kTwoOverPi = {
    0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561, 0xb7246e3a424dd2e0,
    0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41, 0x3991d639835339f4,
    0x9c845f8bbdf9283b, 0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab, 0xf0cfbc209af4361d};
constexpr Two kHalfPi{0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54};

// Returns 64 bits of 2 / pi, the first one with the weight 2^-first.
uint64_t two_over_pi_bits(int first) {
  const int start = first - 1;  // Counted from the bit after the binary point; negative before it.
  const auto word = [](int i) { return i < 0 ? 0 : kTwoOverPi[static_cast<size_t>(i)]; };
  const int index = start >> 6, shift = start & 63;
  if (shift == 0) return word(index);
  return word(index) << shift | word(index + 1) >> (64 - shift);
}

struct Reduced {
  int quadrant;  // mod 4
  Two rest;      // |rest| <= pi / 4
};

// Returns x = quadrant * pi/2 + rest, finite x >= 0 (Payne and Hanek 1983): the product of the 53-bit integer
// m of x = m 2^e with those 256 bits of 2/pi that neither add multiples of 4 nor vanish; 139 bits of it stay
// correct where x is nearest to a multiple of pi/2.
Reduced reduce(double x) {
  if (x <= 0x1.921fb54442d18p-1) return {0, {x, 0}};
  int e;
  const uint64_t m = static_cast<uint64_t>(std::ldexp(std::frexp(x, &e), 53));
  e -= 53;
  std::array<uint64_t, 4> product;  // In units of 2^-254, mod 4, highest word first.
  unsigned __int128 carry = 0;
  for (int i = 3; i >= 0; --i) {
    carry += static_cast<unsigned __int128>(m) * two_over_pi_bits(e - 1 + 64 * i);
    product[static_cast<size_t>(i)] = static_cast<uint64_t>(carry);
    carry >>= 64;
  }
  const int quadrant = static_cast<int>((product[0] + (1ull << 61)) >> 62);
  product[0] -= static_cast<uint64_t>(quadrant) << 62;
  // The fraction is signed, in [-1/2, 1/2); ~ negates it but for the last of its 254 bits.
  const bool negative = product[0] >> 63;
  Two fraction;
  for (int i = 0; i < 8; ++i) {
    const uint64_t word =
        negative ? ~product[static_cast<size_t>(i / 2)] : product[static_cast<size_t>(i / 2)];
    const uint32_t half = static_cast<uint32_t>(i % 2 ? word : word >> 32);
    fraction = fraction + Two{std::ldexp(half, 2 - 32 * (i + 1)), 0};
  }
  const Two rest = fraction * kHalfPi;
  return {quadrant & 3, negative ? Two{-rest.hi, -rest.lo} : rest};
}

// Taylor polynomials of degree 19 and 20 in w = -r^2; r.lo enters by the derivative.
double sin_of_rest(Two r) {
  const double w = -r.hi * r.hi;
  double q = 0;
  for (size_t k = 19; k >= 3; k -= 2) q = std::fma(q, w, kInverseFactorial[k]);
  return r.hi + std::fma(q * w, r.hi, r.lo * (1 + 0.5 * w));
}

double cos_of_rest(Two r) {
  const Two w = two_product(-r.hi, r.hi);
  double q = 0;
  for (size_t k = 20; k >= 4; k -= 2) q = std::fma(q, w.hi, kInverseFactorial[k]);
  const Two sum = two_sum(1, 0.5 * w.hi);
  return sum.hi + (sum.lo + (std::fma(q * w.hi, w.hi, 0.5 * w.lo) - r.hi * r.lo));
}

// Returns sin(x + shift * pi/2), finite x >= 0.
double sin_shifted(double x, int shift) {
  const Reduced r = reduce(x);
  const int quadrant = (r.quadrant + shift) & 3;
  const double value = quadrant % 2 ? cos_of_rest(r.rest) : sin_of_rest(r.rest);
  return quadrant >= 2 ? -value : value;
}

}  // namespace

double sin_f64(double x) {
  if (!std::isfinite(x)) return std::numeric_limits<double>::quiet_NaN();
  return std::signbit(x) ? -sin_shifted(-x, 0) : sin_shifted(x, 0);
}

double cos_f64(double x) {
  if (!std::isfinite(x)) return std::numeric_limits<double>::quiet_NaN();
  return sin_shifted(std::fabs(x), 1);
}

}  // namespace faultline
