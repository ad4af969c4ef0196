#include "engine/base/cpu.h"

#include <hwy/highway.h>
#include <hwy/targets.h>
#include <unistd.h>

#include <cfenv>
#include <fstream>
#include <sstream>
#if defined(__x86_64__)
#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/syscall.h>
#include <xmmintrin.h>
#endif

#include "engine/base/error.h"
#include "engine/base/text.h"

namespace faultline {
namespace {

struct InstructionSet {
  const char* name;
  int64_t targets;
};

// Slowest first.
constexpr InstructionSet kInstructionSets[] = {
    {"neon", HWY_NEON},
    {"avx2", HWY_AVX2},
    {"avx512", HWY_AVX3},
};

const InstructionSet* restricted_to = nullptr;  // Set before kernels run; null means the best.

// Looked up once: Highway chooses the best again whenever it is asked.
int64_t targets_here() {
  static const int64_t kTargets = hwy::SupportedTargets() & HWY_TARGETS;
  return kTargets;
}

bool is_here(const InstructionSet& set) { return targets_here() & set.targets; }

#if defined(__x86_64__)
constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040, kRounding = 0x6000;
#endif

bool float_environment_is_ours() {
#if defined(__x86_64__)
  if (_mm_getcsr() & (kFlushToZero | kDenormalsAreZero | kRounding)) return false;
#elif defined(__aarch64__)
  uint64_t fpcr;
  asm volatile("mrs %0, fpcr" : "=r"(fpcr));
  if (fpcr & ((3ull << 22) | (1ull << 24))) return false;
#endif
  return std::fegetround() == FE_TONEAREST;
}

#if defined(__x86_64__)
// Leaf 7 of CPUID (Intel SDM, CPUID): what its two subleaves say of the extensions below.
struct ExtendedFeatures {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

bool has_bits(unsigned value, unsigned bits) { return (value & bits) == bits; }

ExtendedFeatures extended_features(unsigned subleaf) {
  ExtendedFeatures features;
  __get_cpuid_count(7, subleaf, &features.eax, &features.ebx, &features.ecx, &features.edx);
  return features;
}

// Whether the system keeps these register states (bits of XCR0) over a switch of threads.
bool system_keeps(unsigned states) {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE)) return false;
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return has_bits(low, states);
}

// The states of XCR0 that hold vectors and masks, and that hold tiles; the number of the tiles' data.
constexpr unsigned kVectorStates = 0xe6, kTileStates = 0x60000;
constexpr int kTileData = 18;
#endif

std::string cpuinfo_line(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0) {
      const size_t colon = line.find(':');
      if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
    }
  }
  return "unknown";
}

}  // namespace

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const InstructionSet& set : kInstructionSets) {
    if (is_here(set)) names.push_back(set.name);
  }
  return names;
}

void set_instruction_set(const std::string& name) {
  if (name.empty()) {
    hwy::GetChosenTarget().Update(targets_here());
    restricted_to = nullptr;
    return;
  }
  for (const InstructionSet& set : kInstructionSets) {
    if (name != set.name || !is_here(set)) continue;
    hwy::GetChosenTarget().Update(set.targets);
    restricted_to = &set;
    return;
  }
  throw Error(ErrorCode::kUnsupported, "instruction set",
              "'" + name + "' is not on this processor (there is: " + join(instruction_sets(), ", ") + ")");
}

std::string instruction_set() { return restricted_to ? restricted_to->name : instruction_sets().back(); }

bool instruction_set_is_best() { return instruction_set() == instruction_sets().back(); }

bool kernels_use_avx512() {
  return restricted_to ? restricted_to->targets == HWY_AVX3 : targets_here() & HWY_AVX3;
}

std::string cpu_model() { return cpuinfo_line("model name"); }

std::vector<std::string> cpu_flags() {
  static const std::vector<std::string> kMatter = {"fma",      "f16c",        "avx2",        "avx512f",
                                                   "avx512bw", "avx512_bf16", "avx512_fp16", "amx_tile",
                                                   "amx_bf16", "asimd"};
  std::istringstream words(cpuinfo_line("flags") + " " + cpuinfo_line("Features"));
  std::vector<std::string> flags;
  for (std::string word; words >> word;) {
    for (const std::string& flag : kMatter) {
      if (word == flag) flags.push_back(flag);
    }
  }
  return flags;
}

int64_t l2_cache_bytes() {
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? bytes : 512 << 10;
}

bool has_avx512_bf16() {
#if defined(__x86_64__)
  constexpr unsigned kAvx512f = 1u << 16, kAvx512Bf16 = 1u << 5;
  static const bool kHere = system_keeps(kVectorStates) && has_bits(extended_features(0).ebx, kAvx512f) &&
                            has_bits(extended_features(1).eax, kAvx512Bf16);
  return kHere;
#else
  return false;
#endif
}

bool has_amx_bf16() {
#if defined(__x86_64__)
  constexpr unsigned kAvx512f = 1u << 16, kAvx512bw = 1u << 30, kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  static const bool kHere = system_keeps(kVectorStates | kTileStates) &&
                            has_bits(extended_features(0).ebx, kAvx512f | kAvx512bw) &&
                            has_bits(extended_features(0).edx, kAmxBf16 | kAmxTile) &&
                            syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, kTileData) == 0;
  return kHere;
#else
  return false;
#endif
}

void set_float_environment() {
  std::fesetround(FE_TONEAREST);
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() & ~(kFlushToZero | kDenormalsAreZero | kRounding));
#elif defined(__aarch64__)
  uint64_t fpcr;
  asm volatile("mrs %0, fpcr" : "=r"(fpcr));
  asm volatile("msr fpcr, %0" ::"r"(fpcr & ~((3ull << 22) | (1ull << 24))));
#endif
}

void check_float_environment(const std::string& who) {
  if (float_environment_is_ours()) return;
  set_float_environment();
  throw Error(ErrorCode::kInternal, who, "changed the rounding mode or flush-to-zero of this thread");
}

}  // namespace faultline
