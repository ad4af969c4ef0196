// bf16 products by Intel's instructions beside oneDNN's, one thread, sizes 256 to 2048. Where the processor lacks
// an instruction its model is measured and the comparison is skipped. Ours starts from operands widened to f32, as
// the engine hands them to a unit, oneDNN's from bf16. Run: bazel run //bench:bf16_product
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <dnnl.hpp>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/mma/unit.h"

extern "C" void omp_set_num_threads(int threads);  // of the OpenMP that oneDNN runs on

namespace faultline {
namespace {

constexpr int kRepetitions = 7;

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
  std::vector<float> a, b;
  std::vector<Bf16> a_bf16, b_bf16;
};

// oneDNN's product of bf16 operands in f32; empty if it has none for this processor.
std::function<void()> onednn_product(int64_t size, Operands& operands, std::vector<float>& c) {
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

double seconds(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Prints one line: both rates, from repetitions that take turns.
void compare(const std::string& name, bool here, int64_t size) {
  const Unit& unit = Registry<Unit>::instance().find(name);
  Operands operands(size);
  std::vector<float> c(size * size), onednn_c(size * size);
  const auto ours = [&] {
    unit.product(
        {size, size, size, operands.a.data(), operands.b.data(), c.data(), Dtype::kBf16, Dtype::kF32});
  };
  const auto onednn = onednn_product(size, operands, onednn_c);
  ours();
  if (onednn) onednn();
  std::vector<double> our_times, onednn_times;
  for (int i = 0; i < kRepetitions; ++i) {
    our_times.push_back(seconds(ours));
    if (onednn) onednn_times.push_back(seconds(onednn));
  }
  const double operations = 2e-9 * static_cast<double>(size * size * size), our_time = median(our_times);
  fmt::print("{:12} {:>6} {:9.1f}", name, size, operations / our_time);
  if (onednn) fmt::print(" {:9.1f}", operations / median(onednn_times));
  if (!here)
    fmt::print("  skipped: this processor lacks {}, the first figure is its model's\n", name);
  else if (!onednn)
    fmt::print("  skipped: oneDNN has no bf16 product for this processor\n");
  else
    fmt::print("  {:.2f} of oneDNN\n", median(onednn_times) / our_time);
}

}  // namespace
}  // namespace faultline

int main() {
  using namespace faultline;
  set_float_environment();
  set_threads(1);
  omp_set_num_threads(1);
  fmt::print("{}, one thread, medians of {}; GFLOP/s of ours and of oneDNN {}.{}.{}\n", cpu_model(),
             kRepetitions, DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH);
  for (const int64_t size : {256, 512, 1024, 2048}) {
    compare("amx_bf16", has_amx_bf16(), size);
    compare("avx512_bf16", has_avx512_bf16(), size);
  }
}
