#include "harness/digest_observer.h"

#include "engine/tensor/digest.h"

namespace faultline::harness {

void DigestObserver::on_op(const OpEvent& event) {
  const bool backward = event.grad_call != nullptr;
  std::vector<const Tensor*> fresh;
  std::vector<size_t> where;
  const size_t first = entries_.size();
  for (size_t i = 0; i < event.outputs.size(); ++i) {
    const Tensor& output = event.outputs[i];
    if (!output.defined()) continue;
    Entry& entry = entries_.emplace_back();
    entry.name.append(name(event.phase)).append("/").append(output_name(event.op, event.name, backward, i));
    if (const Digest* known = find_last(output)) {
      entry.digest = *known;
    } else {
      fresh.push_back(&output);
      where.push_back(entries_.size() - 1);
    }
  }
  const std::vector<Digest> made = digests(fresh);
  for (size_t i = 0; i < made.size(); ++i) entries_[where[i]].digest = made[i];
  last_.clear();
  auto entry = entries_.begin() + static_cast<int64_t>(first);
  for (const Tensor& output : event.outputs) {
    if (!output.defined()) continue;
    if (output.size_bytes() >= kLargeOutput) last_.push_back({output, entry->digest});
    ++entry;
  }
}

const Digest* DigestObserver::find_last(const Tensor& output) const {
  for (const Digested& last : last_) {
    const Tensor& tensor = last.tensor;
    if (tensor.raw() == output.raw() && tensor.dtype() == output.dtype() &&
        tensor.shape() == output.shape() && tensor.strides() == output.strides())
      return &last.digest;
  }
  return nullptr;
}

std::string output_name(const OpDef& op, const std::string& name, bool backward, size_t index) {
  if (backward)
    return name + "/d" + (index < op.input_names.size() ? op.input_names[index] : std::to_string(index));
  return index == 0 ? name : name + "/output" + std::to_string(index);
}

}  // namespace faultline::harness
