#include "engine/base/processors.h"

#include <sched.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>
#include <vector>

using namespace faultline;

namespace {

cpu_set_t allowed() {
  cpu_set_t set;
  REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
  return set;
}

void stay_on(int processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
}

struct Entered {
  int before;
  bool moved;
  int after;
  cpu_set_t may_run_on;
};

// What a new thread that may run anywhere finds, entering as thread 1 from this thread's processor.
Entered enter_beside(Processors& processors, const cpu_set_t& anywhere, int here) {
  Entered entered{};
  std::thread([&] {
    stay_on(here);
    sched_setaffinity(0, sizeof anywhere, &anywhere);
    entered.before = sched_getcpu();
    entered.moved = processors.enter(1);
    entered.after = sched_getcpu();
    entered.may_run_on = allowed();
  }).join();
  return entered;
}

}  // namespace

TEST_CASE(
    "processors: of two threads on one processor the second is moved, and may run where it might before") {
  const cpu_set_t anywhere = allowed();
  if (CPU_COUNT(&anywhere) < 2) {
    WARN("skipped: this process may run on one processor only");
    return;
  }
  const int here = sched_getcpu();
  stay_on(here);
  // The system may move the thread by itself before it enters: then once more.
  bool found = false;
  for (int i = 0; i < 100 && !found; ++i) {
    Processors processors(2, std::chrono::hours(1));
    CHECK_FALSE(processors.enter(0));
    CHECK_FALSE(processors.enter(0));
    const Entered entered = enter_beside(processors, anywhere, here);
    CHECK(CPU_EQUAL(&entered.may_run_on, &anywhere));
    if (!entered.moved && (entered.before != here || entered.after != here)) continue;
    CHECK(entered.moved);
    CHECK_FALSE(enter_beside(processors, anywhere, here).moved);  // not so soon again
    found = true;
  }
  CHECK(found);
  sched_setaffinity(0, sizeof anywhere, &anywhere);
}

TEST_CASE("processors: more threads than processors share them as the system likes") {
  const cpu_set_t anywhere = allowed();
  const int here = sched_getcpu();
  stay_on(here);
  Processors processors(static_cast<int>(std::thread::hardware_concurrency()) + 1);
  CHECK_FALSE(processors.enter(0));
  CHECK_FALSE(enter_beside(processors, anywhere, here).moved);
  sched_setaffinity(0, sizeof anywhere, &anywhere);
}
