#include "bench/peers/eigen_kernels.h"
#include "bench/peers/peer.h"
#include "engine/base/cpu.h"

namespace faultline::bench {
namespace {

// For the instruction set of our own kernels.
const EigenKernels& kernels() {
  static const EigenKernels& kernels =
      kernels_use_avx512() ? *faultline_eigen_avx512() : *faultline_eigen_avx2();
  return kernels;
}

const Registered<Peer> kEigen{
    "eigen",
    {[] { return std::string(kernels().version) + " for " + kernels().instruction_set; },
     [](int threads) { kernels().set_threads(threads); },
     [](const Gemm& gemm) { return [gemm] { kernels().gemm(gemm); }; },
     {},
     [](const Elementwise& op, int threads) -> std::function<void()> {
       if (threads > 1 || !kernels().has(op)) return {};  // its arrays know no threads
       return [op] { kernels().elementwise(op); };
     }}};

}  // namespace
}  // namespace faultline::bench
