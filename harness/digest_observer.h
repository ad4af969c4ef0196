#pragma once

#include <string>
#include <vector>

#include "harness/trainer.h"

namespace faultline::harness {

// Name of an op's output as people say it: "conv2", "conv2/dw", "bn1/output1".
std::string output_name(const OpDef& op, const std::string& name, bool backward, size_t index);

// Digests every output of every op of a step as it appears. What an op hands on as the op before it gave it is digested
// once if it is large; so is what the optimizer gives and the next step starts from.
class DigestObserver : public Observer {
 public:
  explicit DigestObserver(std::vector<Entry>& entries) : entries_(entries) {}
  void on_op(const OpEvent& event) override;

  // Returns the digest of each tensor, in one go for those that are not known. They stay until the next call or event.
  const std::vector<Digest>& of(const std::vector<const Tensor*>& tensors);

 private:
  static constexpr int64_t kLargeOutput = 1 << 20;  // bytes
  struct Digested {
    Tensor tensor;
    Digest digest;
  };

  // The digest of a tensor that is known, or nullptr.
  const Digest* find(const Tensor& tensor) const;

  std::vector<Entry>& entries_;
  std::vector<Digested> known_;  // large outputs of the last op, all of the optimizer's
  // Members keep their memory from op to op.
  std::vector<const Tensor*> outputs_, fresh_;
  std::vector<size_t> where_;  // each of the fresh ones stands
  std::vector<Digest> digests_;
};

}  // namespace faultline::harness
