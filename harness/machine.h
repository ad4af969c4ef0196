#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace faultline::harness {

// What any figure or bit of this process may rest on beside its settings: {"git": {commit, diff} or "unknown",
// "build": {id, compiler, flags}, "cpu": {model, flags, instruction_set}, "libraries": {...}, "platform"}.
nlohmann::json machine_manifest();

// Digest of the running program: ledgers of two builds are never mixed silently.
std::string build_id();

}  // namespace faultline::harness
