#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "engine/tensor/digest.h"

namespace faultline {

// Takes digests that are wanted later. Those of small tensors are left to threads that wait for work meanwhile, large
// ones are taken at once by all threads. One thread at a time may use a queue.
class DigestQueue {
  class Job;

 public:
  // A digest that is taken, or will be.
  class Promise {
   public:
    Promise() = default;  // of nothing
    explicit Promise(const Digest& digest) : made_(true), digest_(digest) {}
    bool made() const { return made_; }
    Digest get() const;  // waits for it

   private:
    friend class DigestQueue;
    Promise(std::shared_ptr<Job> job, size_t index) : made_(true), job_(std::move(job)), index_(index) {}

    bool made_ = false;
    Digest digest_;             // or
    std::shared_ptr<Job> job_;  // that takes it
    size_t index_ = 0;
  };

  DigestQueue() = default;
  ~DigestQueue();
  DigestQueue(const DigestQueue&) = delete;

  // Appends a promise of the digest of each tensor. The queue keeps the elements, at most so many bytes of them; they
  // must not change before the digest is got.
  void add(TensorList tensors, std::vector<Promise>& promises);

 private:
  std::shared_ptr<Job> unused_job();

  DigestBlocks now_;                          // what is taken at once
  std::vector<std::shared_ptr<Job>> jobs_;    // used in turns, so that they take no memory anew
  size_t next_ = 0;                           // the one that was used longest ago
  std::deque<std::shared_ptr<Job>> waiting_;  // oldest first
  int64_t waiting_bytes_ = 0;
};

}  // namespace faultline
