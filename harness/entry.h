#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/digest.h"

namespace faultline::harness {

// "leaf/conv1.weight", "leaf/batch/x", "forward/conv1", "backward/conv1/dw", "optimizer/conv1.weight/w". The process
// keeps each text once, for its life: the same names come step after step, and to copy one reads nothing but itself.
class EntryName {
 public:
  EntryName(std::string_view text);
  EntryName(const std::string& text) : EntryName(std::string_view(text)) {}
  EntryName(const char* text) : EntryName(std::string_view(text)) {}

  const std::string& text() const { return kept_->first; }
  operator const std::string&() const { return text(); }
  const Digest& digest() const { return kept_->second; }

  // Whether it is these texts, one after the other.
  bool is(std::initializer_list<std::string_view> parts) const {
    std::string_view rest = text();
    for (const std::string_view part : parts) {
      if (!rest.starts_with(part)) return false;
      rest.remove_prefix(part.size());
    }
    return rest.empty();
  }

  bool operator==(const EntryName& other) const { return kept_ == other.kept_; }

 private:
  const std::pair<const std::string, Digest>* kept_;
};

// One digested thing of a step.
struct Entry {
  EntryName name;
  Digest digest;
};

}  // namespace faultline::harness
