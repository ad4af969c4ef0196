#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/memory.h"

namespace faultline::bench {

// Memory as tensors have it, for all contenders alike.
template <class T>
struct TensorAllocator {
  using value_type = T;
  TensorAllocator() = default;
  template <class U>
  TensorAllocator(const TensorAllocator<U>&) {}
  T* allocate(size_t n) { return reinterpret_cast<T*>(allocate_memory(n * sizeof(T)).release()); }
  void deallocate(T* data, size_t) { FreeMemory()(data); }
  bool operator==(const TensorAllocator&) const { return true; }
};
using Floats = std::vector<float, TensorAllocator<float>>;

// Operands of a comparison: uniform in [-1, 1).
Floats uniform(int64_t size, uint32_t seed);
Floats absolute(Floats values);

// Throws kMismatch with the first element where two f32 sums of the same k products differ by more than both
// can be off: 2 gamma(k) sum |a||b|. `magnitude` is that sum in f32, itself at most gamma(k) too small.
void check_sums(const std::string& who, int64_t k, const Floats& ours, const Floats& theirs,
                const Floats& magnitude);

}  // namespace faultline::bench
