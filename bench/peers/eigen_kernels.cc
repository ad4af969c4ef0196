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

template <class T>
using Values = Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>>;

// One array of an op's inputs or outputs.
template <class T>
Values<T> values(const Elementwise& op, const void* data) {
  return {static_cast<T*>(const_cast<void*>(data)), op.n * op.c * op.h * op.w};
}

void relu(const Elementwise& op) { values<float>(op, op.out[0]) = values<float>(op, op.in[0]).max(0.0f); }

template <class From, class To>
void convert(const Elementwise& op) {
  values<To>(op, op.out[0]) = values<From>(op, op.in[0]).template cast<To>();
}

using Call = void (*)(const Elementwise&);
Call find(const std::string& op) {
  if (op == "relu") return relu;
  if (op == "f32 -> f16") return convert<float, Eigen::half>;
  if (op == "f32 -> bf16") return convert<float, Eigen::bfloat16>;
  if (op == "f16 -> f32") return convert<Eigen::half, float>;
  if (op == "bf16 -> f32") return convert<Eigen::bfloat16, float>;
  return nullptr;
}

bool has(const Elementwise& op) { return find(op.op) != nullptr; }
void elementwise(const Elementwise& op) { find(op.op)(op); }

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
  static const EigenKernels kKernels{kInstructionSet, kVersion, Eigen::setNbThreads, gemm, has, elementwise};
  return &kKernels;
}
