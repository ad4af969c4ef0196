#include "engine/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/error.h"

namespace faultline {
namespace {

thread_local bool inside_parallel_for = false;

// Waking a sleeping thread takes longer than many a kernel, so a thread looks for its next job a while before it
// sleeps. It keeps its core meanwhile: one that yields it to another process may wait for milliseconds. Where there are
// more threads than cores, it does yield, since what it waits for may need the core.
constexpr int kLooks = 64;
constexpr std::chrono::microseconds kSpin{50};
std::atomic<bool> yields = false;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Condition>
void spin_until(const Condition& condition) {
  for (int i = 0; i < kLooks; ++i) {
    if (condition()) return;
    pause();
  }
  for (const auto end = std::chrono::steady_clock::now() + kSpin; !condition();) {
    if (std::chrono::steady_clock::now() >= end) return;
    if (yields)
      std::this_thread::yield();
    else
      pause();
  }
}

// Workers wait for a numbered job; worker i always takes range i + 1, the caller takes range 0. A job's word is its
// number and how many ranges it has, so that a worker which has none in it reads nothing else of it.
class Pool {
 public:
  ~Pool() { resize(0); }

  void resize(int workers) {
    post(0);
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    yields = workers >= static_cast<int>(std::thread::hardware_concurrency());
    for (int i = 0; i < workers; ++i) {
      workers_.emplace_back([this, i, seen = job_.load()] { work(i, seen); });
    }
  }

  int size() const { return static_cast<int>(workers_.size()); }

  // Runs body(range) for range 0 .. ranges-1, range 0 on this thread.
  void run(int ranges, const std::function<void(int)>& body) {
    std::lock_guard one_at_a_time(caller_mutex_);
    body_ = &body;
    pending_ = ranges - 1;
    failure_ = nullptr;
    failed_range_ = ranges;
    post(ranges);
    guarded(body, 0);
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
      spin_until([&] { return job_ != seen; });
      job_.wait(seen);
      seen = job_;
      const int ranges = static_cast<int>(seen % kRangeLimit);
      if (ranges == 0) return;
      if (index + 1 >= ranges) continue;
      guarded(*body_, index + 1);
      if (--pending_ == 0) pending_.notify_one();
    }
  }

  // Keeps the exception of the lowest range, which is the one that a single thread would have met.
  void guarded(const std::function<void(int)>& body, int range) {
    inside_parallel_for = true;
    try {
      body(range);
    } catch (...) {
      std::lock_guard lock(failure_mutex_);
      if (range < failed_range_) {
        failure_ = std::current_exception();
        failed_range_ = range;
      }
    }
    inside_parallel_for = false;
  }

  std::mutex caller_mutex_;
  std::vector<std::thread> workers_;
  std::atomic<uint64_t> job_{0};
  std::atomic<int> pending_{0};  // ranges of the workers that are not done
  const std::function<void(int)>* body_ = nullptr;
  std::mutex failure_mutex_;
  int failed_range_ = 0;
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

int threads() { return pool().size() + 1; }

void parallel_for(const char* kernel, int64_t n, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t most = inside_parallel_for ? 1 : threads();
  const int64_t ranges = std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, most);
  if (!inside_parallel_for) record(kernel, static_cast<int>(ranges));
  if (ranges == 1) return body(0, n);
  pool().run(static_cast<int>(ranges),
             [&](int range) { body(n * range / ranges, n * (range + 1) / ranges); });
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
