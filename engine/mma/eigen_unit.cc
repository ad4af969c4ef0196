// Eigen is compiled in this file alone: two copies with different flags in one program break the
// one-definition rule.
#define EIGEN_DONT_PARALLELIZE
#include <eigen3/Eigen/Core>

#include "engine/base/cpu.h"
#include "engine/mma/unit.h"

namespace faultline {
namespace {

// Eigen's own product: the order of its sums is a matter of its version, the instruction set and the cache
// sizes.
void eigen_product(const UnitProduct& p) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> a(p.a, p.M, p.K), b(p.b, p.K, p.N);
  Eigen::Map<Matrix>(p.c, p.M, p.N).noalias() = a * b;
  check_float_environment("eigen");
}

const Registered<Unit> kEigen{
    "eigen",
    {"Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
         "'s own product: stands for a library",
     {{Dtype::kF16, Dtype::kF32},
      {Dtype::kBf16, Dtype::kF32},
      {Dtype::kTf32, Dtype::kF32},
      {Dtype::kF32, Dtype::kF32}},
     "Eigen's own order of multiply-adds",
     eigen_product}};

}  // namespace
}  // namespace faultline
