// The mistake that the `threads` column exists to find: a product whose sum is cut by the number of threads.
#include <vector>

#include "engine/base/parallel.h"
#include "engine/mma/unit.h"

namespace faultline {
namespace {

void planted_product(const UnitProduct& p) {
  const int64_t parts = threads();
  for (int64_t m = 0; m < p.M; ++m) {
    for (int64_t n = 0; n < p.N; ++n) {
      float sum = 0;
      for (int64_t part = 0; part < parts; ++part) {
        float partial = 0;
        for (int64_t k = p.K * part / parts; k < p.K * (part + 1) / parts; ++k) {
          partial += p.a[m * p.K + k] * p.b[k * p.N + n];
        }
        sum += partial;
      }
      p.c[m * p.N + n] = sum;
    }
  }
}

const Registered<Unit> kPlanted{"planted",
                                {"for tests: a sum that depends on threads",
                                 {{Dtype::kF32, Dtype::kF32}},
                                 "one chain for each thread",
                                 planted_product}};

}  // namespace
}  // namespace faultline
