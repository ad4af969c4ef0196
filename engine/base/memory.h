#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace faultline {

inline constexpr size_t kCacheLine = 64;

struct FreeMemory {
  void operator()(void* data) const { std::free(data); }
};
using Memory = std::unique_ptr<std::byte, FreeMemory>;

// Uninitialised memory that begins a line of the cache. Much of it lies on pages of 2 MiB, where the system has them:
// kernels that stream through it then wait less for addresses to be translated.
// Throws: std::bad_alloc.
Memory allocate_memory(size_t bytes);

// Asks the system for pages of 2 MiB where whole ones fit, before the memory is used for the first time. Only a wish: a
// system without such pages keeps small ones.
void prefer_huge_pages(void* data, size_t bytes);

}  // namespace faultline
