#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace faultline {

// Returns the candidate with the smallest edit distance to `word`, or "" if none is near
// (more than a third of the longer word, at least 2, would have to change).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// Returns the words joined by `separator`.
std::string join(const std::vector<std::string>& words, std::string_view separator);

}  // namespace faultline
