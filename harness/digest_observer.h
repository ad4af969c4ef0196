#pragma once

#include <string>
#include <vector>

#include "harness/trainer.h"

namespace faultline::harness {

// Name of an op's output as people say it: "conv2", "conv2/dw", "bn1/output1".
std::string output_name(const OpDef& op, const std::string& name, bool backward, size_t index);

// Digests every output of every op as it appears. A large one that is what the op before it gave, handed on as it is, is
// digested once.
class DigestObserver : public Observer {
 public:
  explicit DigestObserver(std::vector<Entry>& entries) : entries_(entries) {}
  void on_op(const OpEvent& event) override;

 private:
  static constexpr int64_t kLargeOutput = 1 << 20;  // bytes
  struct Digested {
    Tensor tensor;
    Digest digest;
  };

  // The digest of a large output of the last op that is this very tensor, or nullptr.
  const Digest* find_last(const Tensor& output) const;

  std::vector<Entry>& entries_;
  std::vector<Digested> last_;  // large outputs of the last op
};

}  // namespace faultline::harness
