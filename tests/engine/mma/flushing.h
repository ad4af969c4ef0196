#pragma once

#include <immintrin.h>

namespace faultline {

// The processor's own f32 operations with flush-to-zero and denormals-are-zero on while an object lives.
class Flushing {
 public:
  Flushing() { _mm_setcsr(before_ | 0x8040); }
  ~Flushing() { _mm_setcsr(before_); }

  static float fma(float a, float b, float c) {
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
  }
  static float add(float x, float y) { return _mm_cvtss_f32(_mm_add_ss(_mm_set_ss(x), _mm_set_ss(y))); }

 private:
  unsigned before_ = _mm_getcsr();
};

}  // namespace faultline
