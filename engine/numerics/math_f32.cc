#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/numerics/math.h"

namespace faultline {
namespace {

// The operations of math_f32.inc on one float.
struct OneFloat {
  using F = float;
  using I = uint32_t;

  F set(float value) const { return value; }
  I set_bits(uint32_t value) const { return value; }
  F fma(F a, F b, F c) const { return std::fma(a, b, c); }
  F select(bool condition, F yes, F no) const { return condition ? yes : no; }
  bool less(F a, F b) const { return a < b; }
  bool equal(F a, F b) const { return a == b; }
  F abs(F a) const { return std::fabs(a); }
  F copy_sign(F magnitude, F sign) const { return std::copysign(magnitude, sign); }
  I bits(F a) const { return std::bit_cast<uint32_t>(a); }
  F from_bits(I a) const { return std::bit_cast<float>(a); }
  template <int kBits>
  I shift_left(I a) const {
    return a << kBits;
  }
  template <int kBits>
  I shift_right(I a) const {
    return static_cast<uint32_t>(static_cast<int32_t>(a) >> kBits);
  }
  F to_float(I a) const { return static_cast<float>(static_cast<int32_t>(a)); }
};

#include "engine/numerics/math_f32.inc"

}  // namespace

float exp_f32(float x) { return exp_f32(OneFloat{}, x); }
float log_f32(float x) { return log_f32(OneFloat{}, x); }
float tanh_f32(float x) { return tanh_f32(OneFloat{}, x); }
float sigmoid_f32(float x) { return sigmoid_f32(OneFloat{}, x); }
float erf_f32(float x) { return erf_f32(OneFloat{}, x); }

}  // namespace faultline
