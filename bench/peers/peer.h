#pragma once

#include <functional>
#include <string>

#include "bench/peers/work.h"
#include "engine/base/registry.h"

namespace faultline::bench {

// A library whose figures stand beside ours. The work it lacks is an empty function.
struct Peer {
  static constexpr const char* kKind = "peer";

  std::function<std::string()> version;  // and the kernels that it chose for this processor
  std::function<void(int)> set_threads;
  // Makes ready, outside of what is timed; what it returns does the work.
  std::function<std::function<void()>(const Gemm&)> gemm = {};
};

}  // namespace faultline::bench
