#include "engine/numerics/exact_sum.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/error.h"

namespace faultline {
namespace {

constexpr int kMaxAdditions = 1 << 30;  // Each puts less than 2^32 into a word of 63 bits.

// Finite value = integer * 2^exponent, the integer of at most 53 bits.
struct Scaled {
  uint64_t integer;
  int exponent;
};

Scaled scaled(double value) {
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const int field = static_cast<int>(bits >> 52 & 0x7ff);
  const uint64_t fraction = bits & ((1ull << 52) - 1);
  return field ? Scaled{fraction | 1ull << 52, field - 1075} : Scaled{fraction, -1074};
}

}  // namespace

void ExactSum::add_product(double a, double b) {
  if (!std::isfinite(a) || !std::isfinite(b)) {
    special_ += a * b;
    return;
  }
  const Scaled x = scaled(a), y = scaled(b);
  const int64_t sign = std::signbit(a) != std::signbit(b) ? -1 : 1;
  const int position = x.exponent + y.exponent - kLowest, shift = position % 32;
  const unsigned __int128 product = static_cast<unsigned __int128>(x.integer) * y.integer;  // 106 bits
  const auto first = words_.begin() + position / 32;
  const uint64_t low = static_cast<uint64_t>(product & 0xffffffff) << shift;
  unsigned __int128 rest = (product >> 32 << shift) + (low >> 32);
  first[0] += sign * static_cast<int64_t>(low & 0xffffffff);
  for (int i = 1; rest != 0; ++i, rest >>= 32) first[i] += sign * static_cast<int64_t>(rest & 0xffffffff);
  if (++additions_ == kMaxAdditions) {
    carry(words_);
    additions_ = 0;
  }
}

// Brings every word but the last into [0, 2^32); the last one keeps the sign.
void ExactSum::carry(Words& words) {
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const int64_t over = words[i] >> 32;
    words[i] -= over * (int64_t{1} << 32);
    words[i + 1] += over;
  }
}

double ExactSum::round(Dtype dtype) const {
  if (!is_float(dtype))
    throw Error(ErrorCode::kDtype, "exact sum", std::string("cannot round to ") + name(dtype));
  if (is_special()) return special_;
  Words words = words_;
  carry(words);
  const bool negative = words.back() < 0;
  if (negative) {
    for (int64_t& word : words) word = -word;
    carry(words);
  }
  const auto bit = [&](int i) {
    return static_cast<uint64_t>(words[static_cast<size_t>(i / 32)] >> i % 32 & 1);
  };
  int top = 32 * kWords - 1;
  while (top >= 0 && !bit(top)) --top;
  if (top < 0) return 0;

  const int fraction_bits = info(dtype).fraction_bits, bias = (1 << (info(dtype).exponent_bits - 1)) - 1;
  const int quantum = std::max(top + kLowest, 1 - bias) - fraction_bits;  // Weight of the last bit kept.
  const int last = quantum - kLowest;
  uint64_t integer = 0;
  for (int i = top; i >= last; --i) integer = integer << 1 | bit(i);
  bool sticky = false;
  for (int i = std::min(top, last - 2); i >= 0 && !sticky; --i) sticky = bit(i);
  if (bit(last - 1) && (sticky || integer & 1)) ++integer;
  double magnitude = std::ldexp(static_cast<double>(integer), quantum);
  if (magnitude >= std::ldexp(1.0, bias) * 2) magnitude = std::numeric_limits<double>::infinity();
  return negative ? -magnitude : magnitude;
}

}  // namespace faultline
