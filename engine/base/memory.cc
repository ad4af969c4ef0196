#include "engine/base/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <new>

namespace faultline {
namespace {

constexpr size_t kHugePage = 1 << 21, kWorthHugePages = 1 << 20;

size_t round_up(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace

Memory allocate_memory(size_t bytes) {
  const bool huge = bytes >= kWorthHugePages;
  const size_t alignment = huge ? kHugePage : kCacheLine,
               size = round_up(std::max<size_t>(bytes, 1), alignment);
  Memory memory(static_cast<std::byte*>(std::aligned_alloc(alignment, size)));
  if (!memory) throw std::bad_alloc();
  if (huge) prefer_huge_pages(memory.get(), size);
  return memory;
}

void prefer_huge_pages(void* data, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = round_up(address, kHugePage), end = (address + bytes) / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace faultline
