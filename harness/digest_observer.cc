#include "harness/digest_observer.h"

#include <utility>

namespace faultline::harness {
namespace {

std::string output_suffix(const OpDef& op, bool backward, size_t index) {
  if (backward) return "/d" + (index < op.input_names.size() ? op.input_names[index] : std::to_string(index));
  return index == 0 ? "" : "/output" + std::to_string(index);
}

}  // namespace

ResultPieces* DigestObserver::on_result(const Tensor& result) {
  if (result.size_bytes() < kLargeResult) return nullptr;
  if (results_begun_ == results_.size()) results_.emplace_back();
  ResultDigest& digest = results_[results_begun_++];
  digest.begin(result);
  return &digest;
}

void DigestObserver::on_op(const OpEvent& event) {
  const bool backward = event.grad_call != nullptr, optimizer = event.phase == Phase::kOptimizer;
  outputs_.clear();
  for (size_t i = 0; i < event.outputs.size(); ++i) {
    if (!event.outputs[i].defined()) continue;
    outputs_.push_back(&event.outputs[i]);
    add_output({name(event.phase), "/", event.name, output_suffix(event.op, backward, i)});
  }
  append(outputs_, digests_);
  results_begun_ = 0;
  if (!optimizer) known_.clear();
  auto digest = digests_.end() - static_cast<int64_t>(outputs_.size());
  for (const Tensor* output : outputs_) {
    if (optimizer || output->size_bytes() >= kLargeOutput) known_.push_back({*output, *digest});
    ++digest;
  }
}

void DigestObserver::digest(TensorList tensors, Promises& digests) {
  digests.clear();
  append(tensors, digests);
}

void DigestObserver::append(TensorList tensors, Promises& digests) {
  if (known_.empty() && results_begun_ == 0) return queue_.add(tensors, digests);
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

void DigestObserver::begin_step(const std::vector<Entry>& leaves, Promises& digests) {
  entries_ = leaves;
  digests_.swap(digests);
  digests.clear();
  outputs_named_ = 0;
}

void DigestObserver::add_leaf(const Entry& leaf) {
  entries_.push_back(leaf);
  digests_.emplace_back();
}

void DigestObserver::add_leaves(std::span<const EntryName> names, TensorList tensors) {
  for (const EntryName& name : names) entries_.push_back({name, {}});
  append(tensors, digests_);
}

void DigestObserver::add_output(std::initializer_list<std::string_view> name) {
  const size_t place = outputs_named_++;
  if (place == names_.size() || !names_[place].is(name)) {
    std::string text;
    for (const std::string_view part : name) text.append(part);
    names_.erase(names_.begin() + static_cast<int64_t>(place), names_.end());
    names_.push_back(std::move(text));
  }
  entries_.push_back({names_[place], {}});
}

std::vector<Entry> DigestObserver::take_entries() {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (digests_[i].made()) entries_[i].digest = digests_[i].get();
  }
  digests_.clear();
  outputs_named_ = 0;
  std::vector<Entry> taken;
  taken.reserve(entries_.size());
  taken.swap(entries_);
  return taken;
}

DigestQueue::Promise DigestObserver::find(const Tensor& tensor) {
  for (const auto& [known, digest] : known_) {
    if (known.raw() == tensor.raw() && known.dtype() == tensor.dtype() && known.shape() == tensor.shape() &&
        known.strides() == tensor.strides())
      return digest;
  }
  for (size_t i = 0; i < results_begun_; ++i) {
    if (results_[i].is_of(tensor)) return DigestQueue::Promise(results_[i].end(tensor));
  }
  return {};
}

std::string output_name(const OpDef& op, const std::string& name, bool backward, size_t index) {
  return name + output_suffix(op, backward, index);
}

}  // namespace faultline::harness
