#include "harness/perturbation.h"

namespace faultline::harness {

const Registered<Perturbation> kRepeat{
    "repeat",
    {"a fresh process with another folder, environment, locale, time zone, clock and heap fill", true, "",
     [](Launch& launch, uint64_t seed, const std::string&) {
       constexpr int64_t kYear_s = 365 * 24 * 3600;
       const bool odd = seed % 2 != 0;
       launch.working_folder = "/";
       launch.clock_shift_s = (odd ? 20 : -15) * kYear_s + 3723;
       launch.environment = {
           {"FAULTLINE_UNRELATED", std::string(37 + seed % 64, 'x')},  // moves the stack
           {"HOME", "/nonexistent"},
           {"TMPDIR", "/var/tmp"},
           {"PATH", "/sbin:/bin:/usr/sbin:/usr/bin"},
           {"LC_ALL", odd ? "tr_TR.UTF-8" : "de_DE.UTF-8"},
           {"LANG", "POSIX"},
           {"TZ", odd ? "Pacific/Chatham" : "America/St_Johns"},
           // Fills fresh and freed memory, and hands out the large pieces from the heap instead of by mmap.
           {"GLIBC_TUNABLES", "glibc.malloc.perturb=165:glibc.malloc.mmap_threshold=1073741824"},
       };
       launch.recipe.set_value("runtime.heap_fill", 165, "repeat");
     }}};

}  // namespace faultline::harness
