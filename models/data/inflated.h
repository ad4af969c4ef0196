#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace faultline::models {

// What a gzip file holds.
struct Inflated {
  std::span<const uint8_t> bytes;
  std::shared_ptr<const void> memory;  // keeps them
};

// Inflates a gzip file of one member. `sha256`: the file's sum, if the caller has checked it. Throws kIo, kData.
Inflated inflate(const std::string& path, const std::string& sha256 = "");

// From now on, or no longer, the processes that this one starts inherit what it inflates from files whose sums are known:
// a sweep's processes all train on the same data. It is sealed against writing, and gone with the last of them.
void hand_down_inflated(bool on);

// What the process that started this one handed down of the file with this sum; nothing while this one hands down itself.
std::optional<Inflated> inherited(const std::string& sha256);

}  // namespace faultline::models
