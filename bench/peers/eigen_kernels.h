#pragma once

#include "bench/peers/work.h"

namespace faultline::bench {

// What one shared object holds: Eigen compiled for one instruction set. Nothing else of it can be seen, because
// two copies of a template in one program break the one-definition rule.
struct EigenKernels {
  const char* instruction_set;
  const char* version;
  void (*set_threads)(int threads);
  void (*gemm)(const Gemm& gemm);
  bool (*has)(const Elementwise& op);
  void (*elementwise)(const Elementwise& op);
};

}  // namespace faultline::bench

extern "C" {
const faultline::bench::EigenKernels* faultline_eigen_avx2();
const faultline::bench::EigenKernels* faultline_eigen_avx512();
}
