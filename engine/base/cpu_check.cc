// Compiled without AVX, so that it runs on any x86-64: the rest of the program is compiled for AVX2 with FMA.
#include <unistd.h>

#include <cstdlib>

namespace {

#if defined(__x86_64__)
__attribute__((constructor(101))) void check_processor() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return;
  static const char kText[] = "faultline: this processor lacks AVX2 or FMA, which every kernel needs\n";
  if (write(2, kText, sizeof(kText) - 1) < 0) std::_Exit(2);
  std::_Exit(2);
}
#endif

}  // namespace
