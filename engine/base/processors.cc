#include "engine/base/processors.h"

#include <sched.h>
#include <unistd.h>

#include <thread>

namespace faultline {

Processors::Processors(int threads, std::chrono::nanoseconds between_moves)
    : between_moves_(between_moves),
      places_(threads),
      occupant_(threads > 1 && threads <= static_cast<int>(std::thread::hardware_concurrency())
                    ? sysconf(_SC_NPROCESSORS_CONF)
                    : 0) {}

bool Processors::enter(int thread) {
  if (occupant_.empty()) return false;
  const int here = sched_getcpu();
  if (here < 0 || here >= static_cast<int>(occupant_.size())) return false;
  Place& place = places_[thread];
  // Written only where it changes, so that each thread's line stays in its own cache.
  if (place.processor != here) place.processor = here;
  const int other = occupant_[here];
  if (other == thread) return false;
  if (thread == 0 || places_[other].processor != here) {
    occupant_[here] = thread;
    return false;
  }
  const auto now = std::chrono::steady_clock::now();
  if (place.moved_at && now - *place.moved_at < between_moves_) return false;
  place.moved_at = now;
  return move();
}

// To a processor on which no other thread was last.
bool Processors::move() const {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return false;
  cpu_set_t free = allowed;
  for (const Place& place : places_) {
    if (place.processor >= 0) CPU_CLR(place.processor, &free);
  }
  if (CPU_COUNT(&free) == 0 || sched_setaffinity(0, sizeof free, &free) != 0) return false;
  sched_setaffinity(0, sizeof allowed, &allowed);
  return true;
}

}  // namespace faultline
