// f32 products beside Eigen, OpenBLAS and oneDNN: squares, the products of linear layers and convolutions, and
// weight gradients, whose k is the batch; each in every storage order, on one thread and on two.
// Run: bazel run //bench:gemm [-- --benchmark_filter=2000x64x576]
#include <fmt/format.h>

#include "bench/check.h"
#include "bench/fma_peak.h"
#include "bench/peers/peer.h"
#include "engine/base/parallel.h"
#include "engine/kernels/product.h"

namespace faultline::bench {
namespace {

struct Shape {
  int64_t m, n, k;
};
constexpr Shape kShapes[] = {{256, 256, 256}, {512, 512, 512},  {1024, 1024, 1024}, {2048, 2048, 2048},
                             {128, 256, 784}, {2000, 64, 576},  {6272, 64, 576},    {64, 10, 128},
                             {6, 25, 50176},  {64, 576, 32768}, {16, 150, 100000}};

void our_product(const Gemm& g) {
  ProductArgs args{g.m, g.n, g.k, {g.a, Dtype::kF32, g.k, 1}, {g.b, Dtype::kF32, g.n, 1}};
  if (g.a_transposed) args.a.row_stride = 1, args.a.col_stride = g.m;
  if (g.b_transposed) args.b.row_stride = 1, args.b.col_stride = g.k;
  args.out = g.c;
  args.out_row_stride = g.n;
  product("bench", args);
}

// One shape in one storage order. Each peer's result is compared with ours before it is timed.
void compare(Suite& suite, const Shape& shape, bool a_transposed, bool b_transposed, int threads) {
  const auto [m, n, k] = shape;
  const std::string name = fmt::format("{}x{}x{} {}{}", m, n, k, "nt"[a_transposed], "nt"[b_transposed]);
  if (!suite.wants(name, threads)) return;
  set_threads(threads);
  const std::vector<float> a = uniform(m * k, 1), b = uniform(k * n, 2);
  std::vector<float> c(m * n), magnitude(m * n);
  const Gemm ours{m, n, k, a_transposed, b_transposed, a.data(), b.data(), c.data()};
  our_product(ours);
  {
    const std::vector<float> abs_a = absolute(a), abs_b = absolute(b);
    our_product({m, n, k, a_transposed, b_transposed, abs_a.data(), abs_b.data(), magnitude.data()});
  }

  Comparison comparison{name, threads, 2e-9 * double(m) * double(n) * double(k), {}, fma_peak(threads)};
  comparison.contenders.push_back({"ours", [=] { our_product(ours); }});
  std::vector<std::vector<float>> results;
  results.reserve(Registry<Peer>::instance().entries().size());
  for (const auto& [peer, library] : Registry<Peer>::instance().entries()) {
    if (!library.gemm) continue;
    Gemm theirs = ours;
    theirs.c = results.emplace_back(m * n).data();
    library.set_threads(threads);
    const auto body = library.gemm(theirs);
    body();
    check_sums(fmt::format("{} {}", peer, name), k, c, results.back(), magnitude);
    comparison.contenders.push_back({peer, body});
  }
  suite.compare(comparison);
}

void measure(Suite& suite) {
  for (const auto& [name, library] : Registry<Peer>::instance().entries()) {
    suite.library(name, library.version());
  }
  for (const int threads : {1, 2}) {
    for (const Shape& shape : kShapes) {
      for (const bool a : {false, true}) {
        for (const bool b : {false, true}) compare(suite, shape, a, b, threads);
      }
    }
  }
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(argc, argv,
                     {"gemm", "f32 products m x n x k; n, t: an operand as it is or transposed", "GFLOP/s"},
                     measure);
}
