#include "engine/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "tests/support/threads.h"

using namespace faultline;

namespace {

struct Ranges {
  std::vector<std::pair<int64_t, int64_t>> ranges;  // Sorted.
  std::set<std::thread::id> on;
};

Ranges ranges_of(int64_t n, int64_t grain) {
  Ranges result;
  std::mutex mutex;
  parallel_for("test", n, grain, [&](int64_t begin, int64_t end) {
    std::lock_guard lock(mutex);
    result.ranges.emplace_back(begin, end);
    result.on.insert(std::this_thread::get_id());
  });
  std::sort(result.ranges.begin(), result.ranges.end());
  return result;
}

}  // namespace

// Ranges of so many items for `count` threads, and the pieces that they are cut into: 8 at most.
int64_t expected_ranges(int64_t n, int64_t grain, int count) {
  return std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, count);
}
int64_t expected_pieces(int64_t n, int64_t grain, int count) {
  const int64_t ranges = expected_ranges(n, grain, count);
  if (ranges == 1) return 1;
  return ranges * std::min<int64_t>(n / std::max<int64_t>(grain, 1) / ranges, 8);
}

TEST_CASE("parallel: pieces cover everything once, are even, and keep to threads and grain") {
  const int count = GENERATE(1, 2, 3, 8);
  const Threads threads(count);
  for (const int64_t n : {1, 2, 7, 8, 64, 1000, 1001}) {
    for (const int64_t grain : {0, 1, 3, 64, 5000}) {
      const Ranges got = ranges_of(n, grain);
      int64_t next = 0, least = n, most = 0;
      for (const auto& [begin, end] : got.ranges) {
        REQUIRE(begin == next);
        next = end;
        least = std::min(least, end - begin);
        most = std::max(most, end - begin);
      }
      REQUIRE(next == n);
      REQUIRE(most - least <= 1);
      CAPTURE(n, grain, count);
      REQUIRE(static_cast<int64_t>(got.ranges.size()) == expected_pieces(n, grain, count));
      REQUIRE(static_cast<int64_t>(got.on.size()) == expected_ranges(n, grain, count));
    }
  }
}

TEST_CASE("parallel: nothing to do calls nothing") {
  const Threads threads(2);
  CHECK(ranges_of(0, 1).ranges.empty());
  CHECK(ranges_of(-5, 1).ranges.empty());
}

TEST_CASE("parallel: many short loops in a row lose no item") {
  const Threads threads(GENERATE(2, 3, 8));
  std::vector<int> items(64, 0);
  for (int round = 0; round < 1000; ++round) {
    parallel_for("test", 1 + round % 64, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++items[i];
    });
  }
  for (int i = 0; i < 64; ++i) {
    int expected = 0;
    for (int round = 0; round < 1000; ++round) expected += round % 64 >= i;
    CHECK(items[i] == expected);
  }
}

TEST_CASE("parallel: an exception from any range arrives at the caller, and the pool goes on") {
  const int count = GENERATE(1, 2, 3, 8);
  const Threads threads(count);
  for (int64_t bad = 0; bad < count; ++bad) {
    const auto body = [&](int64_t begin, int64_t end) {
      if (begin <= bad && bad < end) throw Error(ErrorCode::kData, "item", std::to_string(bad));
    };
    CHECK_THROWS_WITH(parallel_for("test", count, 1, body), "item: " + std::to_string(bad));
    CHECK(static_cast<int64_t>(ranges_of(1000, 1).ranges.size()) == expected_pieces(1000, 1, count));
  }
}

TEST_CASE("parallel: when several pieces throw, the caller gets what one thread would have met first") {
  const Threads threads(GENERATE(1, 2, 3, 8));
  std::atomic<int> calls{0};
  const auto body = [&](int64_t begin, int64_t) {
    ++calls;
    if (begin == 0) std::this_thread::yield();
    throw std::runtime_error(std::to_string(begin));
  };
  for (int round = 0; round < 100; ++round) {
    calls = 0;
    REQUIRE_THROWS_WITH(parallel_for("test", 64, 1, body), "0");
    REQUIRE(calls == expected_pieces(64, 1, faultline::threads()));
  }
}

TEST_CASE("parallel: a thread that is done takes over from a slow one, but for the piece it began with") {
  const Threads threads(2);
  const auto self = std::this_thread::get_id();
  std::atomic<int> own{0}, others{0};
  parallel_for("test", 16, 1, [&](int64_t begin, int64_t) {
    if (std::this_thread::get_id() == self)
      ++(begin < 8 ? own : others);
    else
      while (own + others < 15) std::this_thread::yield();  // until the caller has done all the rest
  });
  CHECK(own == 8);
  CHECK(others == 7);
}

TEST_CASE("parallel: inside a piece there is one thread") {
  const Threads threads(2);
  std::atomic<int> most{0};
  parallel_for("test", 16, 1, [&](int64_t, int64_t) { most = std::max<int>(most, faultline::threads()); });
  CHECK(most == 1);
  CHECK(faultline::threads() == 2);
}

TEST_CASE("parallel: a loop inside a range stays on its thread") {
  const Threads threads(3);
  std::vector<int> items(30 * 20, 0);
  std::atomic<int> strayed{0};
  parallel_for("outer", 30, 1, [&](int64_t begin, int64_t end) {
    const auto self = std::this_thread::get_id();
    for (int64_t i = begin; i < end; ++i) {
      parallel_for("inner", 20, 1, [&](int64_t from, int64_t to) {
        strayed += std::this_thread::get_id() != self;
        for (int64_t j = from; j < to; ++j) ++items[20 * i + j];
      });
    }
  });
  CHECK(strayed == 0);
  CHECK(std::all_of(items.begin(), items.end(), [](int item) { return item == 1; }));
}

TEST_CASE("parallel: an exception inside a nested loop arrives at the outer caller") {
  const Threads threads(3);
  const auto inner = [](int64_t, int64_t) { throw std::runtime_error("inner"); };
  const auto outer = [&](int64_t, int64_t) { parallel_for("inner", 20, 1, inner); };
  CHECK_THROWS_WITH(parallel_for("outer", 30, 1, outer), "inner");
  CHECK(static_cast<int64_t>(ranges_of(30, 1).ranges.size()) == expected_pieces(30, 1, 3));
}

TEST_CASE("parallel: callers on different threads take turns") {
  const Threads threads(3);
  std::vector<int64_t> sums(4, 0);
  std::vector<std::thread> callers;
  for (int64_t& sum : sums) {
    callers.emplace_back([&sum] {
      for (int round = 0; round < 300; ++round) {
        std::vector<int64_t> items(90, 0);
        parallel_for("test", 90, 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) items[i] = i;
        });
        sum += std::accumulate(items.begin(), items.end(), int64_t{0});
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const int64_t sum : sums) CHECK(sum == 300 * (89 * 90 / 2));
}

TEST_CASE("parallel: the number of threads can change between loops, within its limits") {
  for (const int count : {1, 8, 2, 3, 1}) {
    set_threads(count);
    CHECK(threads() == count);
    CHECK(ranges_of(1000, 1).on.size() == static_cast<size_t>(count));
  }
  CHECK_THROWS_AS(set_threads(0), Error);
  CHECK_THROWS_AS(set_threads(-1), Error);
  CHECK_THROWS_AS(set_threads(257), Error);
  CHECK(threads() == 1);
}

TEST_CASE("parallel: the number of threads cannot change inside a loop") {
  const Threads threads(2);
  CHECK_THROWS_AS(parallel_for("test", 2, 1, [](int64_t, int64_t) { set_threads(4); }), Error);
  CHECK(faultline::threads() == 2);
}

TEST_CASE("parallel: the statistics name each kernel and the most threads it had") {
  const Threads threads(3);
  reset_threads_used();
  const auto nothing = [](int64_t, int64_t) {};
  parallel_for("wide", 100, 1, nothing);
  parallel_for("wide", 1, 1, nothing);
  parallel_for("narrow", 100, 60, nothing);
  parallel_for("outer", 3, 1, [&](int64_t, int64_t) { parallel_for("inner", 100, 1, nothing); });
  CHECK(threads_used() == std::map<std::string, int>{{"narrow", 1}, {"outer", 3}, {"wide", 3}});
  reset_threads_used();
  CHECK(threads_used().empty());
}
