#include <catch2/catch.hpp>
#include <vector>

#include "bench/peers/peer.h"
#include "engine/base/cpu.h"
#include "tests/support/skip.h"

namespace faultline::bench {
namespace {

// Small whole numbers: every order of the sum gives the same bits.
std::vector<float> whole_numbers(int64_t size, int step) {
  std::vector<float> values(size);
  for (int64_t i = 0; i < size; ++i) values[i] = static_cast<float>(i * step % 7 - 3);
  return values;
}

// The first of this file: a library chooses once.
TEST_CASE("peers are held to the instruction set that our kernels are held to") {
  if (instruction_sets() != std::vector<std::string>{"avx2", "avx512"})
    skip("needs a processor with AVX-512");
  set_instruction_set("avx2");
  for (const auto& [name, peer] : Registry<Peer>::instance().entries()) {
    const std::string version = peer.version();
    CAPTURE(name, version);
    CHECK((version.find("AVX2") != std::string::npos || version.ends_with("kernels for Haswell")));
    CHECK(version == peer.version());
  }
}

TEST_CASE("every peer computes the product that the struct says, in each storage order") {
  const int64_t m = 5, n = 19, k = 70;
  const std::vector<float> a = whole_numbers(m * k, 3), b = whole_numbers(k * n, 5);
  for (const auto& [name, peer] : Registry<Peer>::instance().entries()) {
    for (const int threads : {1, 2}) {
      peer.set_threads(threads);
      for (const bool at : {false, true}) {
        for (const bool bt : {false, true}) {
          std::vector<float> c(m * n, -1), expected(m * n);
          for (int64_t i = 0; i < m * n; ++i) {
            for (int64_t p = 0; p < k; ++p) {
              expected[i] += a[at ? p * m + i / n : i / n * k + p] * b[bt ? i % n * k + p : p * n + i % n];
            }
          }
          peer.gemm({m, n, k, at, bt, a.data(), b.data(), c.data()})();
          CAPTURE(name, peer.version(), threads, at, bt);
          CHECK(c == expected);
        }
      }
    }
  }
  CHECK(Registry<Peer>::instance().names() == std::vector<std::string>{"eigen", "onednn", "openblas"});
}

}  // namespace
}  // namespace faultline::bench
