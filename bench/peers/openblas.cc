#include <cblas-openblas.h>

#include <cstdlib>

#include "bench/peers/peer.h"
#include "engine/base/cpu.h"

// Choose its kernels anew. Exported, in none of its headers.
extern "C" void gotoblas_dynamic_quit();
extern "C" void gotoblas_dynamic_init();

namespace faultline::bench {
namespace {

constexpr const char* kChoice = "OPENBLAS_CORETYPE";

std::string version() {
  if (const char* core = std::getenv(kChoice)) {
    throw Error(
        ErrorCode::kArgument, kChoice,
        std::string("is ") + core + ", so that OpenBLAS does not choose its kernels itself; unset it");
  }
  if (!instruction_set_is_best()) {
    setenv(kChoice, "Haswell", 1);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv(kChoice);
  }
  std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."
  config = config.substr(config.find(' ') + 1);
  return config.substr(0, config.find(' ')) + ", kernels for " + openblas_get_corename();
}

std::function<void()> gemm(const Gemm& g) {
  const CBLAS_TRANSPOSE a = g.a_transposed ? CblasTrans : CblasNoTrans;
  const CBLAS_TRANSPOSE b = g.b_transposed ? CblasTrans : CblasNoTrans;
  const blasint m = static_cast<blasint>(g.m), n = static_cast<blasint>(g.n), k = static_cast<blasint>(g.k);
  return [=] {
    cblas_sgemm(CblasRowMajor, a, b, m, n, k, 1, g.a, g.a_transposed ? m : k, g.b, g.b_transposed ? k : n, 0,
                g.c, n);
  };
}

const Registered<Peer> kOpenBlas{"openblas", {version, openblas_set_num_threads, gemm}};

}  // namespace
}  // namespace faultline::bench
