#include "engine/tensor/storage.h"

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "engine/base/memory.h"
#include "engine/tensor/tensor.h"

namespace faultline {
namespace {

class Pool {
 public:
  std::byte* take(size_t size) {
    std::byte* block = reuse(size);
    if (!block) block = from_system(size);
    if (fill_ >= 0) std::memset(block, fill_, size);
    return block;
  }

  void give_back(std::byte* block, size_t size) {
    std::lock_guard lock(mutex_);
    free_[size].push_back(block);
  }

  void set_fill(int byte) { fill_ = byte; }
  int64_t blocks_from_system() const { return blocks_from_system_; }

 private:
  // Small blocks are cut from large pages together: a step touches many, and on small pages it waits for as many
  // addresses to be translated. AddressSanitizer watches the ends of blocks only where each is the system's own.
  std::byte* from_system(size_t size) {
    ++blocks_from_system_;
#if !defined(__SANITIZE_ADDRESS__)
    if (size <= kPage / 2) return cut(size);
#endif
    return allocate_memory(size).release();
  }

  std::byte* cut(size_t size) {
    std::lock_guard lock(mutex_);
    if (left_ < size) {
      uncut_ = allocate_memory(kPage).release();
      left_ = kPage;
    }
    std::byte* const block = uncut_;
    uncut_ += size;
    left_ -= size;
    return block;
  }

  std::byte* reuse(size_t size) {
    std::lock_guard lock(mutex_);
    std::vector<std::byte*>& blocks = free_[size];
    if (blocks.empty()) return nullptr;
    std::byte* block = blocks.back();
    blocks.pop_back();
    return block;
  }

  static constexpr size_t kPage = 2 << 20;

  std::mutex mutex_;
  std::map<size_t, std::vector<std::byte*>> free_;
  std::byte* uncut_ = nullptr;  // rest of the page that small blocks are cut from
  size_t left_ = 0;
  std::atomic<int> fill_ = -1;
  std::atomic<int64_t> blocks_from_system_ = 0;
};

// Never destroyed: tensors of static lifetime may outlive any order of destruction.
Pool& pool() {
  static Pool& pool = *new Pool;
  return pool;
}

}  // namespace

std::shared_ptr<std::byte> allocate_storage(size_t size_bytes) {
  const size_t size = (size_bytes + kCacheLine) / kCacheLine * kCacheLine;
  return {pool().take(size), [size](std::byte* block) { pool().give_back(block, size); }};
}

int64_t storage_blocks_from_system() { return pool().blocks_from_system(); }

void set_heap_fill(int byte) { pool().set_fill(byte); }

}  // namespace faultline
