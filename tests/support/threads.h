#pragma once

#include "engine/base/parallel.h"

namespace faultline {

// So many threads until the end of the block, then one again.
struct Threads {
  explicit Threads(int count) { set_threads(count); }
  ~Threads() { set_threads(1); }
};

}  // namespace faultline
