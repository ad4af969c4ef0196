#include <dnnl.hpp>

#include "bench/peers/peer.h"

extern "C" void omp_set_num_threads(int threads);  // of the OpenMP that oneDNN runs on

namespace faultline::bench {
namespace {

using dnnl::memory;

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

std::string version() {
  return std::to_string(DNNL_VERSION_MAJOR) + "." + std::to_string(DNNL_VERSION_MINOR) + "." +
         std::to_string(DNNL_VERSION_PATCH);
}

memory::desc matrix(int64_t rows, int64_t cols, bool transposed) {
  return {{rows, cols}, memory::data_type::f32, transposed ? memory::format_tag::ba : memory::format_tag::ab};
}

std::function<void()> gemm(const Gemm& g) {
  const memory::desc a = matrix(g.m, g.k, g.a_transposed), b = matrix(g.k, g.n, g.b_transposed),
                     c = matrix(g.m, g.n, false);
  const dnnl::matmul matmul({dnnl::matmul::desc(a, b, c), engine()});
  const std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC, memory(a, engine(), const_cast<float*>(g.a))},
      {DNNL_ARG_WEIGHTS, memory(b, engine(), const_cast<float*>(g.b))},
      {DNNL_ARG_DST, memory(c, engine(), g.c)}};
  return [=, stream = dnnl::stream(engine())]() mutable {
    matmul.execute(stream, arguments);
    stream.wait();
  };
}

const Registered<Peer> kOneDnn{"onednn", {version, omp_set_num_threads, gemm}};

}  // namespace
}  // namespace faultline::bench
