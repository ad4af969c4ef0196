#include "engine/base/memory.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>

namespace faultline {
namespace {

TEST_CASE("memory: every block begins a line of the cache and can be written to its end") {
  for (const size_t bytes :
       {size_t{0}, size_t{1}, size_t{63}, size_t{4096}, size_t{1} << 20, (size_t{1} << 21) + 1}) {
    const Memory memory = allocate_memory(bytes);
    REQUIRE(memory != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(memory.get()) % kCacheLine == 0);
    std::memset(memory.get(), 0x5a, bytes);
    if (bytes > 0) CHECK(memory.get()[bytes - 1] == std::byte{0x5a});
  }
}

TEST_CASE("memory: large blocks begin a page of 2 MiB") {
  const Memory memory = allocate_memory(3 << 20);
  CHECK(reinterpret_cast<uintptr_t>(memory.get()) % (1 << 21) == 0);
}

TEST_CASE("memory: more than there can be is refused") {
  CHECK_THROWS_AS(allocate_memory(size_t{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace faultline
