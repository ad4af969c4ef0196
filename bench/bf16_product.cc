// bf16 products by Intel's instructions beside oneDNN's, one thread, sizes 256 to 2048. Where the processor lacks
// an instruction its model is measured, alone. Ours starts from operands widened to f32, as the engine hands them to
// a unit, oneDNN's from bf16. Run: bazel run //bench:bf16_product
#include <fmt/format.h>

#include <dnnl.hpp>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "bench/check.h"
#include "bench/suite.h"
#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/mma/unit.h"

extern "C" void omp_set_num_threads(int threads);  // of the OpenMP that oneDNN runs on

namespace faultline::bench {
namespace {

struct Operands {
  explicit Operands(int64_t size) : a(size * size), b(size * size), a_bf16(size * size), b_bf16(size * size) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 1);
    for (int64_t i = 0; i < size * size; ++i) {
      a_bf16[i] = bf16_from_f32(normal(random));
      b_bf16[i] = bf16_from_f32(normal(random));
      a[i] = to_f32(a_bf16[i]);
      b[i] = to_f32(b_bf16[i]);
    }
  }
  Floats a, b;
  std::vector<Bf16> a_bf16, b_bf16;
};

// oneDNN's product of bf16 operands in f32; empty if it has none for this processor.
std::function<void()> onednn_product(int64_t size, Operands& operands, Floats& c) {
  using dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const auto matrix = [size](memory::data_type type) {
    return memory::desc({size, size}, type, memory::format_tag::ab);
  };
  const memory::desc bf16 = matrix(memory::data_type::bf16), f32 = matrix(memory::data_type::f32);
  try {
    const dnnl::matmul matmul({dnnl::matmul::desc(bf16, bf16, f32), engine});
    const memory a(bf16, engine, operands.a_bf16.data()), b(bf16, engine, operands.b_bf16.data()),
        out(f32, engine, c.data());
    return [=, stream = dnnl::stream(engine)]() mutable {
      matmul.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, out}});
      stream.wait();
    };
  } catch (const dnnl::error&) {
    return {};
  }
}

// That oneDNN's sums are ours within what rounding explains.
void check(const std::string& row, int64_t size, const std::function<void()>& ours, Operands& operands,
           Floats& c, const std::function<void()>& onednn, const Floats& theirs) {
  const Floats a = operands.a, b = operands.b;
  operands.a = absolute(a), operands.b = absolute(b);
  ours();
  const Floats magnitude = c;
  operands.a = a, operands.b = b;
  ours();
  onednn();
  check_sums(row, size, c, theirs, magnitude);
}

void compare(Suite& suite, const std::string& name, bool here, int64_t size) {
  const std::string row = fmt::format("{} {}^3{}", name, size, here ? "" : ", its model");
  if (!suite.wants(row, 1)) return;
  const Unit& unit = Registry<Unit>::instance().find(name);
  Operands operands(size);
  Floats c(size * size), onednn_c(size * size);
  const auto ours = [&] {
    unit.product(
        {size, size, size, operands.a.data(), operands.b.data(), c.data(), Dtype::kBf16, Dtype::kF32});
  };
  Comparison comparison{row, 1, 2e-9 * static_cast<double>(size * size * size), {{"ours", ours}}, {}};
  if (const auto onednn = here ? onednn_product(size, operands, onednn_c) : nullptr) {
    check(row, size, ours, operands, c, onednn, onednn_c);
    comparison.contenders.push_back({"onednn", onednn});
  }
  suite.compare(comparison);
}

void measure(Suite& suite) {
  suite.library("onednn",
                fmt::format("{}.{}.{}", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH));
  set_threads(1);
  omp_set_num_threads(1);
  for (const int64_t size : {256, 512, 1024, 2048}) {
    compare(suite, "amx_bf16", has_amx_bf16(), size);
    compare(suite, "avx512_bf16", has_avx512_bf16(), size);
  }
  if (!has_amx_bf16()) suite.note("amx_bf16 beside oneDNN: skipped, this processor lacks it");
  if (!has_avx512_bf16()) suite.note("avx512_bf16 beside oneDNN: skipped, this processor lacks it");
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(
      argc, argv, {"bf16_product", "bf16 products by Intel's instructions, one thread", "GFLOP/s"}, measure);
}
