#pragma once

#include <cstdint>

#include "engine/base/memory.h"

namespace faultline {

// Uninitialised floats. Their memory goes back to this thread's next Scratch and not to the system, which
// would clear its pages each time.
class Scratch {
 public:
  explicit Scratch(int64_t n);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  float* data() const { return reinterpret_cast<float*>(data_.get()); }

  static int64_t blocks_from_system();  // of all threads, since the start

 private:
  int64_t capacity_;
  Memory data_;
};

}  // namespace faultline
