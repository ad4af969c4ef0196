#pragma once

#include <cfenv>

namespace faultline {

// Makes this thread round toward zero, if `wanted`, until the end of the block. Conversions to f16 round to nearest
// all the same on x86, and toward zero on Arm. Code that rests on it is called through a pointer, so that the
// compiler moves nothing across.
class TowardZero {
 public:
  explicit TowardZero(bool wanted) : wanted_(wanted) {
    if (wanted) before_ = std::fegetround(), std::fesetround(FE_TOWARDZERO);
  }
  ~TowardZero() {
    if (wanted_) std::fesetround(before_);
  }
  TowardZero(const TowardZero&) = delete;

 private:
  bool wanted_;
  int before_ = FE_TONEAREST;
};

}  // namespace faultline
