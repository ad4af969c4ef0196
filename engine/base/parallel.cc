#include "engine/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/deferred.h"
#include "engine/base/error.h"
#include "engine/base/processors.h"
#include "engine/base/spin.h"

namespace faultline {
namespace {

thread_local bool inside_parallel_for = false;

// Pieces of a range at most: what a thread that has done its own may take over from a slower one.
constexpr int64_t kPieces = 8;

// Workers wait for a numbered job; worker i always begins with range i + 1, the caller with range 0. A job's word is
// its number and how many ranges it has, so that a worker which has none in it reads nothing else of it.
class Pool {
 public:
  ~Pool() { resize(0); }

  void resize(int workers) {
    post(0);
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    taken_ = std::vector<Counter>(workers + 1);
    processors_ = std::make_unique<Processors>(workers + 1);
    spinning_yields = workers >= static_cast<int>(std::thread::hardware_concurrency());
    for (int i = 0; i < workers; ++i) {
      workers_.emplace_back([this, i, seen = job_.load()] { work(i, seen); });
    }
  }

  int size() const { return static_cast<int>(workers_.size()); }

  // Runs body(piece) for pieces 0 .. ranges * pieces - 1. Each thread goes through the pieces of its own range, then
  // through what is left of the others'.
  void run(int ranges, int pieces, const std::function<void(int)>& body) {
    std::lock_guard one_at_a_time(caller_mutex_);
    body_ = &body;
    pieces_ = pieces;
    for (int i = 0; i < ranges; ++i) taken_[i].value = 1;
    pending_ = ranges - 1;
    failure_ = nullptr;
    failed_piece_ = ranges * pieces;
    processors_->enter(0);
    post(ranges);
    take_pieces(0, ranges);
    spin_until([this] { return pending_ == 0; });
    for (int left; (left = pending_) != 0;) pending_.wait(left);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  static constexpr uint64_t kRangeLimit = 1 << 9;

  // A job of no ranges ends the workers.
  void post(int ranges) {
    job_ = (job_ / kRangeLimit + 1) * kRangeLimit + ranges;
    job_.notify_all();
  }

  void work(int index, uint64_t seen) {
    set_float_environment();
    while (true) {
      spin_until([&] { return job_ != seen || deferred_waits(); });
      if (job_ == seen && deferred_waits()) {
        inside_parallel_for = true;
        run_deferred_piece();
        inside_parallel_for = false;
        continue;
      }
      job_.wait(seen);
      seen = job_;
      const int ranges = static_cast<int>(seen % kRangeLimit);
      if (ranges == 0) return;
      if (index + 1 >= ranges) continue;
      processors_->enter(index + 1);
      take_pieces(index + 1, ranges);
      if (--pending_ == 0) pending_.notify_one();
    }
  }

  // The first piece of a range is its own thread's in any case: so a thread that is late once needs no memory then that
  // it did not need before.
  void take_pieces(int own, int ranges) {
    inside_parallel_for = true;
    guarded(own * pieces_);
    for (int i = 0; i < ranges; ++i) {
      const int range = (own + i) % ranges;
      for (int piece; (piece = taken_[range].value++) < pieces_;) guarded(range * pieces_ + piece);
    }
    inside_parallel_for = false;
  }

  // Keeps the exception of the lowest piece, which is the one that a single thread would have met.
  void guarded(int piece) {
    try {
      (*body_)(piece);
    } catch (...) {
      std::lock_guard lock(failure_mutex_);
      if (piece < failed_piece_) {
        failure_ = std::current_exception();
        failed_piece_ = piece;
      }
    }
  }

  struct alignas(64) Counter {
    std::atomic<int> value{0};
  };

  std::mutex caller_mutex_;
  std::vector<std::thread> workers_;
  std::atomic<uint64_t> job_{0};
  std::atomic<int> pending_{0};  // ranges of the workers that are not done
  const std::function<void(int)>* body_ = nullptr;
  int pieces_ = 0;              // of each range
  std::vector<Counter> taken_;  // pieces of each range
  std::unique_ptr<Processors> processors_;
  std::mutex failure_mutex_;
  int failed_piece_ = 0;
  std::exception_ptr failure_;
};

Pool& pool() {
  static Pool pool;
  return pool;
}

// By the address of the literal, of which a name may have several.
std::mutex statistics_mutex;
std::unordered_map<const char*, int> statistics;

void record(const char* kernel, int ranges) {
  std::lock_guard lock(statistics_mutex);
  int& most = statistics[kernel];
  most = std::max(most, ranges);
}

}  // namespace

void set_threads(int threads) {
  if (threads < 1 || threads > 256) {
    throw Error(ErrorCode::kArgument, "threads", std::to_string(threads) + " is not in 1 .. 256");
  }
  if (inside_parallel_for) throw Error(ErrorCode::kInternal, "threads", "set inside a parallel_for");
  if (threads != pool().size() + 1) pool().resize(threads - 1);
}

int threads() { return inside_parallel_for ? 1 : pool().size() + 1; }

void parallel_for(const char* kernel, int64_t n, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t most_pieces = n / std::max<int64_t>(grain, 1);
  const int64_t ranges = std::clamp<int64_t>(most_pieces, 1, threads());
  if (!inside_parallel_for) record(kernel, static_cast<int>(ranges));
  if (ranges == 1) return body(0, n);
  const int64_t pieces = std::min(most_pieces / ranges, kPieces), all = ranges * pieces;
  pool().run(static_cast<int>(ranges), static_cast<int>(pieces),
             [&](int piece) { body(n * piece / all, n * (piece + 1) / all); });
}

std::map<std::string, int> threads_used() {
  std::lock_guard lock(statistics_mutex);
  std::map<std::string, int> by_name;
  for (const auto& [kernel, ranges] : statistics) by_name[kernel] = std::max(by_name[kernel], ranges);
  return by_name;
}

void reset_threads_used() {
  std::lock_guard lock(statistics_mutex);
  statistics.clear();
}

}  // namespace faultline
