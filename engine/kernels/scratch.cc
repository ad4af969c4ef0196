#include "engine/kernels/scratch.h"

#include <map>
#include <memory>
#include <utility>

namespace faultline {
namespace {

// This thread's unused memory by capacity.
thread_local std::multimap<int64_t, std::unique_ptr<float[]>> unused;

}  // namespace

Scratch::Scratch(int64_t n) : capacity_(n) {
  const auto found = unused.lower_bound(n);
  if (found != unused.end() && found->first <= 2 * n) {
    capacity_ = found->first;
    data_ = found->second.release();
    unused.erase(found);
  } else {
    if (!unused.empty() && found == unused.end()) unused.erase(std::prev(found));  // outgrown
    data_ = new float[n];
  }
}

Scratch::~Scratch() { unused.emplace(capacity_, std::unique_ptr<float[]>(data_)); }

}  // namespace faultline
