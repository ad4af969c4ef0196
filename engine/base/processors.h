#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <vector>

namespace faultline {

// Keeps threads that share work on processors of their own. The system may leave two which sleep and wake in turns on
// one processor while another is idle, for a second and longer: both then run at half speed. A thread that finds itself
// with another one is moved; where it may run is as it was afterwards, so that other programs find room too.
class Processors {
 public:
  // For threads 0 .. threads - 1, each moved once in so long at most. Does nothing where they have not a processor each.
  explicit Processors(int threads, std::chrono::nanoseconds between_moves = std::chrono::milliseconds(1));

  // Said by a thread as it begins its share. Thread 0, the caller's, is not moved. Returns whether the thread was.
  bool enter(int thread);

 private:
  struct alignas(64) Place {
    std::atomic<int> processor{-1};  // where the thread was last
    std::optional<std::chrono::steady_clock::time_point> moved_at = {};
  };

  bool move() const;

  std::chrono::nanoseconds between_moves_;
  std::vector<Place> places_;               // of the threads
  std::vector<std::atomic<int>> occupant_;  // of each processor, the thread that entered there last
};

}  // namespace faultline
