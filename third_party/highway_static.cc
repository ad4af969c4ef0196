// The four functions that the engine needs of libhwy, for a program that is linked statically: Debian's libhwy
// is a shared library only. With one instruction set there is nothing to choose.
#include <hwy/aligned_allocator.h>
#include <hwy/targets.h>

#include <cstdlib>

namespace hwy {

static_assert((HWY_TARGETS & (HWY_TARGETS - 1)) == 0);

int64_t SupportedTargets() { return HWY_TARGETS; }

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

// No caller here brings an allocator of its own.
void* AllocateAlignedBytes(size_t size_bytes, AllocPtr, void*) {
  const size_t whole = (size_bytes + HWY_ALIGNMENT - 1) / HWY_ALIGNMENT * HWY_ALIGNMENT;
  return std::aligned_alloc(HWY_ALIGNMENT, whole);
}

void FreeAlignedBytes(const void* pointer, FreePtr, void*) { std::free(const_cast<void*>(pointer)); }

}  // namespace hwy
