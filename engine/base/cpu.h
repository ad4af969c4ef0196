#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace faultline {

// Names of the instruction sets that the kernels can run on here, slowest first: "avx2", "avx512" or "neon".
std::vector<std::string> instruction_sets();

// Restricts the kernels of this process to one instruction set; "" lifts it (the best one is taken).
// Bits do not depend on it. Throws kUnsupported with what exists.
void set_instruction_set(const std::string& name);
std::string instruction_set();   // The one that kernels use now.
bool instruction_set_is_best();  // Of those that are here.
bool kernels_use_avx512();       // Whether that is "avx512".

// The processor's brand string, and every instruction set flag that can matter to a result.
std::string cpu_model();
std::vector<std::string> cpu_flags();

// Size of a core's second cache, as the system says; 512 KiB where it does not.
int64_t l2_cache_bytes();

// Whether the processor and the system let this process use AVX512_BF16, or AMX_BF16, whose registers the
// first call asks the system for.
bool has_avx512_bf16();
bool has_amx_bf16();

// Nearest even, no flush-to-zero, no denormals-are-zero: set at the start of every thread,
// checked after a call into a foreign library.
void set_float_environment();
void check_float_environment(
    const std::string& who);  // Throws kInternal and restores if `who` left it changed.

}  // namespace faultline
