#include "engine/base/deferred.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/base/parallel.h"
#include "tests/support/threads.h"

namespace faultline {
namespace {

class Work : public Deferred {
 public:
  explicit Work(std::function<void(int)> body) : body_(std::move(body)) {}

 private:
  void run(int piece) override { body_(piece); }
  std::function<void(int)> body_;
};

TEST_CASE("deferred: every piece runs once, however many there are and whatever else the threads do") {
  const Threads threads(GENERATE(1, 2, 3, 8));
  for (const int pieces : {0, 1, 2, 63, 1000, 5000}) {  // of 5000 some find no place to wait
    std::vector<std::atomic<int>> runs(pieces);
    Work work([&](int piece) { ++runs[piece]; });
    for (int round = 1; round <= 20; ++round) {
      work.defer(pieces);
      std::atomic<int> items{0};
      parallel_for("test", 100, 1,
                   [&](int64_t begin, int64_t end) { items += static_cast<int>(end - begin); });
      REQUIRE(items == 100);
      work.finish();
      for (const auto& count : runs) REQUIRE(count == round);
    }
  }
}

TEST_CASE("deferred: work of many kinds waits together, and is finished in any order") {
  const Threads threads(GENERATE(1, 2, 3, 8));
  constexpr int kWorks = 50, kPieces = 40;
  std::vector<std::atomic<int>> sums(kWorks);
  std::vector<std::unique_ptr<Work>> works;
  for (int w = 0; w < kWorks; ++w) {
    works.push_back(std::make_unique<Work>([&sums, w](int piece) { sums[w] += piece; }));
    works.back()->defer(kPieces);
  }
  for (int i = 0; i < kWorks; ++i) {
    const int w = i * 7 % kWorks;
    works[w]->finish();
    CHECK(sums[w] == kPieces * (kPieces - 1) / 2);
  }
}

TEST_CASE("deferred: with one thread it runs at once") {
  const Threads threads(1);
  int runs = 0;
  Work work([&](int) { ++runs; });
  work.defer(3);
  CHECK(runs == 3);
  work.finish();
  CHECK(runs == 3);
}

TEST_CASE("deferred: a thread that has nothing else to do runs pieces, one thread inside of them") {
  const Threads threads(2);
  const auto self = std::this_thread::get_id();
  std::atomic<int> elsewhere{0}, most_threads{0};
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (elsewhere == 0 && std::chrono::steady_clock::now() < end) {
    std::atomic<int> left{100};
    Work work([&](int) {
      if (std::this_thread::get_id() != self) {
        ++elsewhere;
        most_threads = std::max<int>(most_threads, faultline::threads());
      }
      --left;
    });
    parallel_for("test", 2, 1, [](int64_t, int64_t) {});  // the other thread is awake for a while after it
    work.defer(100);
    for (int looks = 0; left > 0 && looks < 10000; ++looks) std::this_thread::yield();
    work.finish();
    REQUIRE(left == 0);
  }
  CHECK(elsewhere > 0);
  CHECK(most_threads == 1);
}

TEST_CASE("deferred: what a piece throws arrives at the end, the others run, and it can be used again") {
  const Threads threads(GENERATE(1, 2, 3));
  std::atomic<int> runs{0};
  bool fails = true;
  Work work([&](int piece) {
    ++runs;
    if (fails && piece == 5) throw std::runtime_error("piece " + std::to_string(piece));
  });
  for (int round = 0; round < 50; ++round) {
    runs = 0;
    fails = round % 2 == 0;
    work.defer(20);
    if (fails)
      CHECK_THROWS_WITH(work.finish(), "piece 5");
    else
      CHECK_NOTHROW(work.finish());
    CHECK(runs == 20);
  }
}

TEST_CASE("deferred: several threads may have work that waits") {
  const Threads threads(3);
  std::vector<int64_t> sums(4, 0);
  std::vector<std::thread> owners;
  for (int64_t& sum : sums) {
    owners.emplace_back([&sum] {
      for (int round = 0; round < 300; ++round) {
        std::atomic<int64_t> pieces{0};
        Work work([&](int piece) { pieces += piece; });
        work.defer(30);
        parallel_for("test", 90, 1, [](int64_t, int64_t) {});
        work.finish();
        sum += pieces;
      }
    });
  }
  for (std::thread& owner : owners) owner.join();
  for (const int64_t sum : sums) CHECK(sum == 300 * (29 * 30 / 2));
}

}  // namespace
}  // namespace faultline
