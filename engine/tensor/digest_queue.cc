#include "engine/tensor/digest_queue.h"

#include <algorithm>

#include "engine/base/deferred.h"
#include "engine/base/parallel.h"

namespace faultline {
namespace {

// From here on bytes are many: what a thread that waits for work could not do beside it would be found out of the
// caches later.
constexpr int64_t kLargeTensor = 2 << 20, kMostWaiting = 4 << 20;

}  // namespace

// Tensors that were added together, for later.
class DigestQueue::Job : private Deferred {
 public:
  void run_later(TensorList tensors) {
    blocks_.begin(tensors);
    done_ = false;
    defer(static_cast<int>(blocks_.count()));
  }

  void wait() {
    if (done_) return;
    finish();
    blocks_.end();
    done_ = true;
  }

  int64_t size_bytes() const { return blocks_.size_bytes(); }
  const Digest& digest(size_t index) const { return blocks_.digests()[index]; }

 private:
  void run(int piece) override { blocks_.digest_block(piece); }

  DigestBlocks blocks_;
  bool done_ = true;
};

Digest DigestQueue::Promise::get() const {
  if (!job_) return digest_;
  job_->wait();
  return job_->digest(index_);
}

DigestQueue::~DigestQueue() {
  for (const auto& job : waiting_) job->wait();
}

std::shared_ptr<DigestQueue::Job> DigestQueue::unused_job() {
  if (jobs_.empty() || jobs_[next_].use_count() > 1)
    jobs_.insert(jobs_.begin() + static_cast<int64_t>(next_), std::make_shared<Job>());
  const std::shared_ptr<Job>& job = jobs_[next_];
  next_ = (next_ + 1) % jobs_.size();
  return job;
}

void DigestQueue::add(TensorList tensors, std::vector<Promise>& promises) {
  if (tensors.empty()) return;
  if (threads() == 1) {
    for (const Tensor* tensor : tensors) promises.push_back(Promise(digest(*tensor)));
    return;
  }
  if (std::any_of(tensors.begin(), tensors.end(),
                  [](const Tensor* tensor) { return tensor->size_bytes() >= kLargeTensor; })) {
    for (const Digest& digest : now_.digest_now(tensors)) promises.push_back(Promise(digest));
    return;
  }
  const std::shared_ptr<Job> job = unused_job();
  for (size_t i = 0; i < tensors.size(); ++i) promises.push_back({job, i});
  job->run_later(tensors);
  waiting_.push_back(job);
  // Which elements are kept must not depend on how far the threads are: the memory that a step needs would, too.
  for (waiting_bytes_ += job->size_bytes(); waiting_bytes_ > kMostWaiting; waiting_.pop_front()) {
    waiting_.front()->wait();
    waiting_bytes_ -= waiting_.front()->size_bytes();
  }
}

}  // namespace faultline
