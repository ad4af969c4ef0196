#include "harness/digest_observer.h"

#include <catch2/catch.hpp>

#include "engine/autograd/execution.h"
#include "engine/ops/add.h"
#include "engine/ops/relu.h"
#include "engine/ops/samples.h"
#include "tests/support/threads.h"

namespace faultline::harness {
namespace {

// Looks at the ops of this thread until the end of the block.
struct Watched {
  Watched() { execution().observer = &observer; }
  ~Watched() { execution().observer = nullptr; }
  DigestObserver observer;
};

struct Expected {
  std::string name;
  Tensor output;
};

void check_entries(DigestObserver& observer, const std::vector<Expected>& expected) {
  const std::vector<Entry> entries = observer.take_entries();
  REQUIRE(entries.size() == expected.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    CHECK(entries[i].name.text() == expected[i].name);
    CHECK(entries[i].digest == digest(expected[i].output));
  }
}

TEST_CASE(
    "digest observer: small results and large ones have the digests of their tensors, step after step") {
  const Threads threads(GENERATE(1, 2, 3));
  Watched watched;
  for (int step = 0; step < 3; ++step) {
    begin_step(step);
    std::vector<Expected> expected;
    for (const int64_t rows : {4, 700, 1100}) {  // 4 KiB, 0.7 MiB and 1.1 MiB in f32, then larger
      for (const int64_t columns : {1000, 4096}) {
        const Variable x(sample_tensor({rows, columns}, Fill::kReals, step), true, "x");
        const std::string scope = "s" + std::to_string(rows) + "x" + std::to_string(columns);
        const Scope named(scope);
        const Variable y = relu(x), z = add(y, y);
        expected.push_back({"forward/" + scope, y.value()});
        expected.push_back({"forward/" + scope + "#2", z.value()});
      }
    }
    check_entries(watched.observer, expected);
  }
}

// An op that has begun a large result and throws leaves nothing behind.
TEST_CASE("digest observer: a step after one that threw has the digests of its own tensors") {
  Watched watched;
  const Tensor x = sample_tensor({1024, 1024}, Fill::kReals, 1);
  Tensor begun = Tensor::empty({1024, 1024}, Dtype::kF32);
  ResultPieces* const pieces = watched.observer.on_result(begun);
  REQUIRE(pieces != nullptr);
  pieces->written(0, begun.size(), x.raw());
  DigestObserver::Promises none;
  watched.observer.begin_step({}, none);
  begin_step(1);
  const Scope named("a");
  const Variable y = relu(Variable(x, true, "x"));
  check_entries(watched.observer, {{"forward/a", y.value()}});
}

TEST_CASE("digest observer: small results are nobody's to look at") {
  DigestObserver observer;
  CHECK(observer.on_result(Tensor::empty({1000}, Dtype::kF32)) == nullptr);
}

}  // namespace
}  // namespace faultline::harness
