// Compiled once for each instruction set; FAULTLINE_EIGEN names the function that the object shows.
#include "bench/peers/eigen_kernels.h"

#include <eigen3/Eigen/Core>

namespace faultline::bench {
namespace {

template <int kOrderA, int kOrderB>
void product(const Gemm& g) {
  using Eigen::Dynamic, Eigen::Map, Eigen::Matrix;
  const Map<const Matrix<float, Dynamic, Dynamic, kOrderA>> a(g.a, g.m, g.k);
  const Map<const Matrix<float, Dynamic, Dynamic, kOrderB>> b(g.b, g.k, g.n);
  Map<Matrix<float, Dynamic, Dynamic, Eigen::RowMajor>>(g.c, g.m, g.n).noalias() = a * b;
}

void gemm(const Gemm& g) {
  using Eigen::ColMajor, Eigen::RowMajor;
  if (g.a_transposed)
    g.b_transposed ? product<ColMajor, ColMajor>(g) : product<ColMajor, RowMajor>(g);
  else
    g.b_transposed ? product<RowMajor, ColMajor>(g) : product<RowMajor, RowMajor>(g);
}

#ifdef EIGEN_VECTORIZE_AVX512
constexpr const char* kInstructionSet = "AVX-512";
#elif defined(EIGEN_VECTORIZE_AVX2) && defined(EIGEN_VECTORIZE_FMA)
constexpr const char* kInstructionSet = "AVX2 with FMA";
#endif

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
constexpr const char* kVersion =
    TEXT(EIGEN_WORLD_VERSION) "." TEXT(EIGEN_MAJOR_VERSION) "." TEXT(EIGEN_MINOR_VERSION);

}  // namespace
}  // namespace faultline::bench

extern "C" __attribute__((visibility("default"))) const faultline::bench::EigenKernels* FAULTLINE_EIGEN() {
  using namespace faultline::bench;
  static const EigenKernels kKernels{kInstructionSet, kVersion, Eigen::setNbThreads, gemm};
  return &kKernels;
}
