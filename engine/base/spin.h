#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace faultline {

// A thread that waits for another keeps its core a while before it sleeps: waking takes longer than many a kernel, and
// one that yields its core to another process may wait for milliseconds. Where there are more threads than cores, it
// does yield, since what it waits for may need the core.
inline std::atomic<bool> spinning_yields = false;

inline void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when the condition holds, or after a while.
template <class Condition>
void spin_until(const Condition& condition) {
  constexpr int kLooks = 64;
  constexpr std::chrono::microseconds kSpin{50};
  for (int i = 0; i < kLooks; ++i) {
    if (condition()) return;
    pause_processor();
  }
  for (const auto end = std::chrono::steady_clock::now() + kSpin; !condition();) {
    if (std::chrono::steady_clock::now() >= end) return;
    if (spinning_yields)
      std::this_thread::yield();
    else
      pause_processor();
  }
}

}  // namespace faultline
