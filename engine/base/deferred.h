#pragma once

#include <atomic>
#include <exception>

namespace faultline {

// Work that can wait: the threads of parallel_for do it, piece by piece, while they look for something to do; one that
// sleeps is not woken for it. What none of them has begun is done by the thread that asks for it.
class Deferred {
 public:
  Deferred() = default;
  virtual ~Deferred() = default;  // not before it is finished
  Deferred(const Deferred&) = delete;

  // From now on any thread may run pieces 0 .. pieces - 1, in any order: at once where there is but one thread. Not
  // before the last time is finished.
  void defer(int pieces);

  // Returns when every piece has run; runs what waits meanwhile. Throws what the first piece that failed threw.
  void finish();

 protected:
  virtual void run(int piece) = 0;

 private:
  friend class DeferredPieces;
  void run_and_count(int piece);

  int pieces_ = 0;
  std::atomic<int> done_ = 0;
  std::atomic<bool> failed_ = false;
  std::exception_ptr failure_;
};

// Whether pieces wait, and runs one of them, if there still is one when it looks.
bool deferred_waits();
bool run_deferred_piece();

}  // namespace faultline
