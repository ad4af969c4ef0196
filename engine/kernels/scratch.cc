#include "engine/kernels/scratch.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

namespace faultline {
namespace {

struct Block {
  int64_t capacity;
  Memory data;
};

// This thread's unused memory: few blocks.
thread_local std::vector<Block> unused;
std::atomic<int64_t> from_system = 0;

bool is_smaller(const Block& a, const Block& b) { return a.capacity < b.capacity; }

// Takes the smallest block of n .. 2 n floats out of `unused`; one without memory if there is none.
Block take_unused(int64_t n) {
  Block* best = nullptr;
  for (Block& block : unused) {
    const bool fits = block.capacity >= n && block.capacity <= 2 * n;
    if (fits && (!best || is_smaller(block, *best))) best = &block;
  }
  if (!best) return {};
  std::swap(*best, unused.back());
  Block taken = std::move(unused.back());
  unused.pop_back();
  return taken;
}

void drop_outgrown(int64_t n) {
  const auto largest = std::max_element(unused.begin(), unused.end(), is_smaller);
  if (largest != unused.end() && largest->capacity < n) unused.erase(largest);
}

}  // namespace

Scratch::Scratch(int64_t n) {
  Block block = take_unused(n);
  if (!block.data) {
    drop_outgrown(n);
    block = {n, allocate_memory(n * sizeof(float))};
    ++from_system;
  }
  capacity_ = block.capacity;
  data_ = std::move(block.data);
}

Scratch::~Scratch() { unused.push_back({capacity_, std::move(data_)}); }

int64_t Scratch::blocks_from_system() { return from_system; }

}  // namespace faultline
