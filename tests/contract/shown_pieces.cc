#include "tests/contract/shown_pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace faultline {

class ShownPieces::Shown : public ResultPieces {
 public:
  explicit Shown(const Tensor& result)
      : result_(result), shown_(Tensor::empty(result.shape(), result.dtype())), times_(result.size()) {
    digest_.begin(result);
  }

  void written(int64_t begin, int64_t end, const void* elements) override {
    {
      const std::lock_guard lock(mutex_);
      if (begin < 0 || end > result_.size() || begin > end) {
        wrong_ = fmt::format("elements [{}, {}) shown of {}", begin, end, result_.describe());
        return;
      }
      const int64_t size = size_bytes(result_.dtype());
      std::memcpy(static_cast<std::byte*>(shown_.mutable_raw()) + begin * size, elements,
                  (end - begin) * size);
      for (int64_t i = begin; i < end; ++i) ++times_[i];
    }
    digest_.written(begin, end, elements);
  }

  const Tensor& result() const { return result_; }
  int64_t count() const {
    return std::count_if(times_.begin(), times_.end(), [](int n) { return n > 0; });
  }

  std::optional<std::string> difference() {
    if (!wrong_.empty()) return wrong_;
    const int64_t size = size_bytes(result_.dtype());
    const auto element = [&](const Tensor& tensor, int64_t i) {
      return static_cast<const std::byte*>(tensor.raw()) + i * size;
    };
    for (int64_t i = 0; i < result_.size(); ++i) {
      if (times_[i] == 0) continue;
      if (times_[i] > 1)
        return fmt::format("element {} of {} shown {} times", i, result_.describe(), times_[i]);
      if (std::memcmp(element(shown_, i), element(result_, i), size) == 0) continue;
      return fmt::format("element {} of {} shown as {}, and is {}", i, result_.describe(), shown_.at(i),
                         result_.at(i));
    }
    if (!digest_.is_of(result_)) return "the digest is not of " + result_.describe();
    if (digest_.end(result_) != digest(result_))
      return "another digest of the pieces of " + result_.describe();
    return {};
  }

 private:
  Tensor result_, shown_;
  std::mutex mutex_;
  std::vector<int> times_;
  std::string wrong_;
  ResultDigest digest_;
};

ResultPieces* ShownPieces::on_result(const Tensor& result) {
  results_.push_back(std::make_shared<Shown>(result));
  return results_.back().get();
}

std::optional<std::string> ShownPieces::difference() const {
  for (const auto& shown : results_) {
    if (const auto wrong = shown->difference()) return wrong;
  }
  return {};
}

int64_t ShownPieces::shown_of(const Tensor& result) const {
  int64_t elements = 0;
  for (const auto& shown : results_) {
    if (shown->result().raw() == result.raw()) elements += shown->count();
  }
  return elements;
}

}  // namespace faultline
