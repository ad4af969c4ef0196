#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/digest.h"

namespace faultline::harness {

// "leaf/conv1.weight", "leaf/batch/x", "forward/conv1", "backward/conv1/dw", "optimizer/conv1.weight/w". Copies share
// the text and its digest: the same names come step after step.
class EntryName {
 public:
  EntryName(std::string text) : shared_(std::make_shared<Shared>(std::move(text))) {}
  EntryName(const char* text) : EntryName(std::string(text)) {}

  const std::string& text() const { return shared_->text; }
  operator const std::string&() const { return text(); }
  const Digest& digest() const { return shared_->digest; }

  // Whether it is these texts, one after the other.
  bool is(std::initializer_list<std::string_view> parts) const {
    std::string_view rest = text();
    for (const std::string_view part : parts) {
      if (!rest.starts_with(part)) return false;
      rest.remove_prefix(part.size());
    }
    return rest.empty();
  }

  bool operator==(const EntryName& other) const { return shared_ == other.shared_ || text() == other.text(); }

 private:
  struct Shared {
    explicit Shared(std::string named) : text(std::move(named)), digest(digest_text(text)) {}
    std::string text;
    Digest digest;
  };
  std::shared_ptr<const Shared> shared_;
};

// One digested thing of a step.
struct Entry {
  EntryName name;
  Digest digest;
};

}  // namespace faultline::harness
