#include "harness/digest_observer.h"

#include <utility>

namespace faultline::harness {

void DigestObserver::on_op(const OpEvent& event) {
  const bool backward = event.grad_call != nullptr, optimizer = event.phase == Phase::kOptimizer;
  outputs_.clear();
  for (size_t i = 0; i < event.outputs.size(); ++i) {
    if (!event.outputs[i].defined()) continue;
    outputs_.push_back(&event.outputs[i]);
    entries_.emplace_back()
        .name.append(name(event.phase))
        .append("/")
        .append(output_name(event.op, event.name, backward, i));
  }
  append(outputs_, digests_);
  if (!optimizer) known_.clear();
  auto digest = digests_.end() - static_cast<int64_t>(outputs_.size());
  for (const Tensor* output : outputs_) {
    if (optimizer || output->size_bytes() >= kLargeOutput) known_.push_back({*output, *digest});
    ++digest;
  }
}

DigestObserver::Promises DigestObserver::of(const std::vector<const Tensor*>& tensors) {
  Promises digests;
  append(tensors, digests);
  return digests;
}

void DigestObserver::append(const std::vector<const Tensor*>& tensors, Promises& digests) {
  const size_t begin = digests.size();
  fresh_.clear();
  for (const Tensor* tensor : tensors) {
    digests.push_back(find(*tensor));
    if (!digests.back().made()) fresh_.push_back(tensor);
  }
  fresh_digests_.clear();
  queue_.add(fresh_, fresh_digests_);
  auto fresh = fresh_digests_.begin();
  for (size_t i = begin; i < digests.size(); ++i) {
    if (!digests[i].made()) digests[i] = std::move(*fresh++);
  }
}

void DigestObserver::add(std::string name, DigestQueue::Promise digest) {
  entries_.push_back({std::move(name), {}});
  digests_.push_back(std::move(digest));
}

std::vector<Entry> DigestObserver::take_entries() {
  for (size_t i = 0; i < entries_.size(); ++i) entries_[i].digest = digests_[i].get();
  digests_.clear();
  std::vector<Entry> taken;
  taken.reserve(entries_.size());
  taken.swap(entries_);
  return taken;
}

DigestQueue::Promise DigestObserver::find(const Tensor& tensor) const {
  for (const auto& [known, digest] : known_) {
    if (known.raw() == tensor.raw() && known.dtype() == tensor.dtype() && known.shape() == tensor.shape() &&
        known.strides() == tensor.strides())
      return digest;
  }
  return {};
}

std::string output_name(const OpDef& op, const std::string& name, bool backward, size_t index) {
  if (backward)
    return name + "/d" + (index < op.input_names.size() ? op.input_names[index] : std::to_string(index));
  return index == 0 ? name : name + "/output" + std::to_string(index);
}

}  // namespace faultline::harness
