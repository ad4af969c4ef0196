#include "harness/entry.h"

#include <mutex>
#include <unordered_map>

namespace faultline::harness {

EntryName::EntryName(std::string_view text) {
  static std::mutex mutex;
  static std::unordered_map<std::string, Digest> names;
  const std::lock_guard lock(mutex);
  const auto [name, is_new] = names.try_emplace(std::string(text));
  if (is_new) name->second = digest_text(text);
  kept_ = &*name;
}

}  // namespace faultline::harness
