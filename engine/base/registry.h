#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/text.h"

namespace faultline {

// A table of named things that register themselves before main: ops, units, scalers, models, ...
// Sorted by name, because the order of registration is the order of linking; a name taken twice is refused.
// One registry per type T; T::kKind says what it holds ("op", "scaler") in messages.
template <class T>
class Registry {
 public:
  static Registry& instance() {
    static Registry registry;
    return registry;
  }

  void add(std::string name, T entry) {
    if (!entries_.emplace(name, std::move(entry)).second) {
      throw Error(ErrorCode::kInternal, T::kKind, "registered twice: " + name);
    }
  }

  // Returns the entry. Throws kNotFound with the nearest known name and the whole list.
  const T& find(const std::string& name) const {
    const auto it = entries_.find(name);
    if (it != entries_.end()) return it->second;
    const std::string guess = nearest(name, names());
    throw Error(ErrorCode::kNotFound, T::kKind,
                "unknown name '" + name + "'" + (guess.empty() ? "" : ", did you mean '" + guess + "'?") +
                    " (known: " + join(names(), ", ") + ")");
  }

  bool contains(const std::string& name) const { return entries_.count(name) > 0; }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }

  const std::map<std::string, T>& entries() const { return entries_; }

 private:
  std::map<std::string, T> entries_;
};

// `const Registered<OpDef> kRelu{"relu", {...}};` at namespace scope adds an entry.
// The library that holds it needs alwayslink.
template <class T>
struct Registered {
  Registered(std::string name, T entry) { Registry<T>::instance().add(std::move(name), std::move(entry)); }
};

}  // namespace faultline
