// f32 products beside Eigen, OpenBLAS and oneDNN: squares, the products of linear layers and convolutions, and
// weight gradients, whose k is the batch; each in every storage order, on one thread and on two.
// Run: bazel run //bench:gemm [-- --benchmark_filter=2000x64x576]
#include <fmt/format.h>

#include <algorithm>
#include <list>

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

// Rows k of [begin, end) alone, into c.
void our_product(const Gemm& g, int64_t begin, int64_t end, float* c) {
  ProductArgs args{g.m, g.n, end - begin, {nullptr, Dtype::kF32, g.k, 1}, {nullptr, Dtype::kF32, g.n, 1}};
  if (g.a_transposed) args.a.row_stride = 1, args.a.col_stride = g.m;
  if (g.b_transposed) args.b.row_stride = 1, args.b.col_stride = g.k;
  args.a.data = g.a + begin * args.a.col_stride;
  args.b.data = g.b + begin * args.b.row_stride;
  args.out = c;
  args.out_row_stride = g.n;
  product("bench", args);
}

void our_product(const Gemm& g) { our_product(g, 0, g.k, g.c); }

// The same kernel without our promise: each thread takes a part of k, so that the bits change with the threads.
void split_product(const Gemm& g, Floats& partial) {
  const int64_t parts = threads(), size = g.m * g.n;
  partial.resize(parts * size);
  parallel_for("split", parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      our_product(g, g.k * p / parts, g.k * (p + 1) / parts, partial.data() + p * size);
    }
  });
  for (int64_t i = 0; i < size; ++i) {
    g.c[i] = partial[i];
    for (int64_t p = 1; p < parts; ++p) g.c[i] += partial[p * size + i];
  }
}

// Multiply-adds of all pairs, so that a neighbour does not meet all pairs of a small product.
constexpr int64_t kOperationsInPairs = 250'000'000'000;

// What the order of k costs a weight gradient, few outputs and a long k, on two threads.
void compare_order(Suite& suite, const Shape& shape) {
  const auto [m, n, k] = shape;
  const std::string name = fmt::format("{}x{}x{} tn: k whole, not split by threads", m, n, k);
  if (!suite.wants(name, 2)) return;
  set_threads(2);
  const Floats a = uniform(m * k, 1), b = uniform(k * n, 2);
  Floats c(m * n), partial;
  const Gemm gemm{m, n, k, true, false, a.data(), b.data(), c.data()};
  Floats magnitude(m * n);
  {
    const Floats abs_a = absolute(a), abs_b = absolute(b);
    our_product({m, n, k, true, false, abs_a.data(), abs_b.data(), magnitude.data()});
  }
  our_product(gemm);
  const Floats whole = c;
  split_product(gemm, partial);
  check_sums(name, k, whole, c, magnitude);
  // Where operands lie decides more than the order does: those of each making lie elsewhere.
  struct Making {
    Floats a, b, c, partial;
  };
  std::list<Making> makings;
  const auto make = [&](void (*multiply)(const Gemm&, Floats&)) -> Suite::Work {
    Making& at = makings.emplace_back(Making{a, b, c, partial});
    const Gemm product{m, n, k, true, false, at.a.data(), at.b.data(), at.c.data()};
    return [=, &at] { multiply(product, at.partial); };
  };
  const int64_t pairs = std::clamp<int64_t>(kOperationsInPairs / (m * n * k), 1000, 20000);
  suite.compare_pairs(
      name, 2, [&] { return make(split_product); },
      [&] { return make([](const Gemm& g, Floats&) { our_product(g); }); }, static_cast<int>(pairs));
}

// One shape in one storage order. Each peer's result is compared with ours before it is timed.
void compare(Suite& suite, const Shape& shape, bool a_transposed, bool b_transposed, int threads) {
  const auto [m, n, k] = shape;
  const std::string name = fmt::format("{}x{}x{} {}{}", m, n, k, "nt"[a_transposed], "nt"[b_transposed]);
  if (!suite.wants(name, threads)) return;
  set_threads(threads);
  const Floats a = uniform(m * k, 1), b = uniform(k * n, 2);
  Floats c(m * n), magnitude(m * n);
  const Gemm ours{m, n, k, a_transposed, b_transposed, a.data(), b.data(), c.data()};
  our_product(ours);
  {
    const Floats abs_a = absolute(a), abs_b = absolute(b);
    our_product({m, n, k, a_transposed, b_transposed, abs_a.data(), abs_b.data(), magnitude.data()});
  }

  Comparison comparison{name, threads, 2e-9 * double(m) * double(n) * double(k), {}, fma_peak(threads)};
  comparison.contenders.push_back({"ours", [=] { our_product(ours); }});
  std::vector<Floats> results;
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
  for (const Shape& shape : kShapes) {
    if (shape.k > 10000) compare_order(suite, shape);
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
