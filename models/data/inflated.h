#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace faultline::models {

// What a gzip file holds.
struct Inflated {
  std::span<const uint8_t> bytes;
  std::shared_ptr<const void> memory;  // keeps them
};

// Inflates a gzip file of one member, of which these are the bytes; `path` names it. `sum`: its SHA-256, if it may be
// handed down. Throws kData.
Inflated inflate(const std::string& path, std::string_view file, const std::string& sum = "");

// From now on, or no longer, the processes that this one starts inherit what it inflates from files whose sums are known:
// a sweep's processes all train on the same data. It is sealed against writing, and gone with the last of them.
void hand_down_inflated(bool on);

// What the process that started this one handed down of the file with this SHA-256; nothing while this one hands down itself.
std::optional<Inflated> inherited(const std::string& sum);

}  // namespace faultline::models
