#pragma once

#include <mpfr.h>

#include <algorithm>
#include <cmath>

namespace faultline {

// An MPFR number: the independent reference of the numerics tests.
class Real {
 public:
  explicit Real(double value = 0, mpfr_prec_t bits = 160) {
    mpfr_init2(value_, bits);
    mpfr_set_d(value_, value, MPFR_RNDN);
  }
  Real(const Real&) = delete;
  Real& operator=(const Real&) = delete;
  ~Real() { mpfr_clear(value_); }

  mpfr_ptr get() { return value_; }
  double nearest() { return mpfr_get_d(value_, MPFR_RNDN); }

  // Returns |got - this| in units of the last place that a format with these fraction bits and smallest
  // normal exponent has at this value.
  double error_in_ulps(double got, int fraction_bits, int min_exponent) {
    if (mpfr_zero_p(value_)) return got == 0 ? 0 : HUGE_VAL;
    const long exponent = mpfr_get_exp(value_) - 1;
    Real difference(got);
    mpfr_sub(difference.get(), difference.get(), value_, MPFR_RNDN);
    mpfr_mul_2si(difference.get(), difference.get(), fraction_bits - std::max<long>(exponent, min_exponent),
                 MPFR_RNDN);
    return std::fabs(difference.nearest());
  }

 private:
  mpfr_t value_;
};

}  // namespace faultline
