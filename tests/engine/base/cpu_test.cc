#include "engine/base/cpu.h"

#include <hwy/highway.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cfenv>
#include <limits>
#include <mutex>
#include <string>
#include <vector>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "engine/base/error.h"
#include "engine/base/parallel.h"

using namespace faultline;

namespace {

float halved_smallest_normal() {
  volatile float smallest = std::numeric_limits<float>::min();
  return smallest * 0.5f;
}

bool rounds_to_nearest() {
  volatile double one = 1, half_ulp = 0x1p-53, more = 0x1.8p-53;
  return one + half_ulp == one && one + more > one && -one - half_ulp == -one;
}

void flush_to_zero() {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
#elif defined(__aarch64__)
  uint64_t fpcr;
  asm volatile("mrs %0, fpcr" : "=r"(fpcr));
  asm volatile("msr fpcr, %0" ::"r"(fpcr | 1ull << 24));
#endif
}

}  // namespace

TEST_CASE("cpu: each instruction set of this processor can be chosen, and listing them changes nothing") {
  const std::vector<std::string> all = instruction_sets();
  REQUIRE_FALSE(all.empty());
  CHECK(instruction_set() == all.back());
  for (const std::string& name : all) {
    set_instruction_set(name);
    const int64_t chosen = hwy::GetChosenTarget().GetIndex();
    CHECK(instruction_set() == name);
    CHECK(instruction_sets() == all);
    CHECK(kernels_use_avx512() == (name == "avx512"));
    CHECK(instruction_set() == name);
    CHECK(hwy::GetChosenTarget().GetIndex() == chosen);
  }
  set_instruction_set("");
  CHECK(instruction_set() == all.back());
}

TEST_CASE("cpu: an unknown instruction set is refused and the choice stays") {
  set_instruction_set(instruction_sets().front());
  try {
    set_instruction_set("sse2");
    FAIL("took sse2");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kUnsupported);
    CHECK(std::string(error.what()).find("'sse2'") != std::string::npos);
    CHECK(std::string(error.what()).find(instruction_sets().front()) != std::string::npos);
  }
  CHECK(instruction_set() == instruction_sets().front());
  set_instruction_set("");
}

TEST_CASE("float environment: what a library changed is reported by its name, and restored") {
  set_float_environment();
  CHECK_NOTHROW(check_float_environment("nobody"));

  std::fesetround(FE_UPWARD);
  CHECK_THROWS_WITH(check_float_environment("libround"), Catch::Matchers::StartsWith("libround: "));
  CHECK(rounds_to_nearest());

  flush_to_zero();
  CHECK(halved_smallest_normal() == 0);
  CHECK_THROWS_WITH(check_float_environment("libfast"), Catch::Matchers::StartsWith("libfast: "));
  CHECK(halved_smallest_normal() > 0);
  CHECK_NOTHROW(check_float_environment("nobody"));
}

TEST_CASE("float environment: workers have ours, whatever the thread that starts them has") {
  std::fesetround(FE_UPWARD);
  flush_to_zero();
  set_threads(4);
  set_float_environment();
  std::mutex mutex;
  int good = 0;
  parallel_for("probe", 4, 1, [&](int64_t, int64_t) {
    const bool ours = rounds_to_nearest() && halved_smallest_normal() > 0;
    std::lock_guard lock(mutex);
    good += ours;
  });
  set_threads(1);
  CHECK(good == 4);
}

#if defined(__x86_64__)
TEST_CASE("cpu: extensions of bf16 are found by CPUID as the system lists them") {
  const std::vector<std::string> flags = cpu_flags();
  const auto listed = [&](const char* flag) {
    return std::find(flags.begin(), flags.end(), flag) != flags.end();
  };
  CHECK(has_avx512_bf16() == listed("avx512_bf16"));
  // The system may list AMX and refuse its registers to this process.
  if (has_amx_bf16()) CHECK((listed("amx_bf16") && listed("amx_tile")));
}
#endif
