#include "engine/base/deferred.h"

#include <array>
#include <cstdint>
#include <mutex>

#include "engine/base/parallel.h"
#include "engine/base/spin.h"

namespace faultline {

// The pieces that wait, first in, first out. Who adds pays no more than a few stores, whoever takes them meanwhile: a
// lock that both held would cost more than many a piece.
class DeferredPieces {
 public:
  bool empty() const { return head_ == tail_; }

  // Returns how many of the pieces found room.
  int add(Deferred* work, int pieces) {
    const std::lock_guard one_at_a_time(adding_);
    uint64_t tail = tail_;
    const auto room = static_cast<int>(kSlots - (tail - head_));
    const int added = pieces < room ? pieces : room;
    for (int piece = 0; piece < added; ++piece, ++tail) {
      Slot& slot = slots_[tail % kSlots];
      slot.work.store(work, std::memory_order_relaxed);
      slot.piece.store(piece, std::memory_order_relaxed);
    }
    tail_.store(tail, std::memory_order_release);
    return added;
  }

  bool run_one() {
    for (uint64_t head = head_; head != tail_;) {
      const Slot& slot = slots_[head % kSlots];
      Deferred* const work = slot.work.load(std::memory_order_relaxed);
      const int piece = slot.piece.load(std::memory_order_relaxed);
      // A slot that was filled anew meanwhile lies behind another head.
      if (!head_.compare_exchange_weak(head, head + 1)) continue;
      work->run_and_count(piece);
      return true;
    }
    return false;
  }

 private:
  static constexpr uint64_t kSlots = 1024;
  struct Slot {
    std::atomic<Deferred*> work = nullptr;
    std::atomic<int> piece = 0;
  };

  std::mutex adding_;
  alignas(64) std::atomic<uint64_t> head_ = 0;  // all that were ever taken
  alignas(64) std::atomic<uint64_t> tail_ = 0;  // all that were ever added
  alignas(64) std::array<Slot, kSlots> slots_;
};

namespace {

// Never destroyed: threads of the pool look at it until they end.
DeferredPieces& waiting() {
  static DeferredPieces& pieces = *new DeferredPieces;
  return pieces;
}

}  // namespace

void Deferred::run_and_count(int piece) {
  try {
    run(piece);
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
  }
  done_.fetch_add(1, std::memory_order_release);
}

void Deferred::defer(int pieces) {
  pieces_ = pieces;
  done_ = 0;
  failed_ = false;
  for (int piece = threads() == 1 ? 0 : waiting().add(this, pieces); piece < pieces; ++piece)
    run_and_count(piece);
}

void Deferred::finish() {
  const auto done = [this] { return done_.load(std::memory_order_acquire) == pieces_; };
  while (!done()) {
    if (!waiting().run_one()) spin_until(done);
  }
  if (!failed_) return;
  failed_ = false;
  std::rethrow_exception(failure_);
}

bool deferred_waits() { return !waiting().empty(); }
bool run_deferred_piece() { return waiting().run_one(); }

}  // namespace faultline
