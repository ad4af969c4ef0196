#pragma once

#include <deque>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/digest_queue.h"
#include "harness/trainer.h"

namespace faultline::harness {

// Name of an op's output as people say it: "conv2", "conv2/dw", "bn1/output1".
std::string output_name(const OpDef& op, const std::string& name, bool backward, size_t index);

// Digests every output of every op of a step as it appears, a large one piece by piece. What an op hands on as the op
// before it gave it is digested once if it is large; so is what the optimizer gives and the next step starts from.
class DigestObserver : public Observer {
 public:
  using Promises = std::vector<DigestQueue::Promise>;

  // Begins a step with its first leaves, and takes over their digests. Forgets entries that nobody took: the step before
  // threw.
  void begin_step(const std::vector<Entry>& leaves, Promises& digests);
  void add_leaf(const Entry& leaf);
  void add_leaves(std::span<const EntryName> names, TensorList tensors);
  ResultPieces* on_result(const Tensor& result) override;
  void on_op(const OpEvent& event) override;

  // Sets the digests of tensors, known or to come.
  void digest(TensorList tensors, Promises& digests);

  // Returns the entries of the step, their digests taken.
  std::vector<Entry> take_entries();

 private:
  // Bytes. A smaller result is in the caches when its op ends, and threads that wait digest it beside the next op.
  static constexpr int64_t kLargeOutput = 1 << 20, kLargeResult = 2 << 20;
  struct Digested {
    Tensor tensor;
    DigestQueue::Promise digest;
  };

  void add_output(std::initializer_list<std::string_view> name);  // its digest comes then
  void append(TensorList tensors, Promises& digests);

  // The digest of a tensor that is known or was digested as it was written, or of nothing.
  DigestQueue::Promise find(const Tensor& tensor);

  DigestQueue queue_;
  std::vector<Entry> entries_;
  Promises digests_;                  // of the entries; of nothing where one has its own
  std::vector<EntryName> names_;      // of outputs, as they come: as a rule those of the step before
  size_t outputs_named_ = 0;          // in this step
  std::vector<Digested> known_;       // large outputs of the last op, all of the optimizer's
  std::deque<ResultDigest> results_;  // large ones that were written, in the order in which they were begun
  size_t results_begun_ = 0;          // by this op
  // Members keep their memory from op to op.
  std::vector<const Tensor*> outputs_, fresh_;
  Promises fresh_digests_;
};

}  // namespace faultline::harness
