#include "engine/tensor/storage.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <thread>
#include <vector>

#include "engine/tensor/tensor.h"

namespace faultline {

TEST_CASE("storage: blocks are 64-byte aligned, also of no bytes") {
  for (const size_t size : {0, 1, 63, 64, 65, 100000}) {
    const auto block = allocate_storage(size);
    CHECK(reinterpret_cast<uintptr_t>(block.get()) % 64 == 0);
  }
}

TEST_CASE("storage: a freed block is handed out again for the same size, a living one never") {
  const std::byte* freed = allocate_storage(12345).get();
  const auto first = allocate_storage(12345);
  CHECK(first.get() == freed);
  CHECK(allocate_storage(12345).get() != first.get());
}

TEST_CASE("storage: the heap fill reaches every block, new or used") {
  for (const int fill : {0x00, 0xab}) {
    set_heap_fill(fill);
    for (int use = 0; use < 2; ++use) {
      const auto block = allocate_storage(777);
      for (size_t i = 0; i < 777; ++i) REQUIRE(std::to_integer<int>(block.get()[i]) == fill);
    }
  }
  set_heap_fill(-1);
}

TEST_CASE("storage: threads take and give back blocks at the same time") {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 1000; ++i) allocate_storage(64 * (i % 5 + t)).get()[0] = std::byte{1};
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace faultline
