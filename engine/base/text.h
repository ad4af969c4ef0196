#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace faultline {

// Returns the candidate with the smallest edit distance to `word`, or "" if none is near
// (more than a third of the longer word, at least 2, would have to change).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// Returns the words joined by `separator`.
std::string join(const std::vector<std::string>& words, std::string_view separator);

// Returns the number that the whole of a text is, in whatever locale; subnormals and infinities too.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace faultline
