#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace faultline {

// The settings of one call of an op (stride, axis, probability ...): plain values, so that a call can be
// printed, stored and made again.
class Attributes {
 public:
  using Value = std::variant<int64_t, double, std::string, std::vector<int64_t>>;

  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Value>> values) : values_(values) {}

  void set(const std::string& key, Value value) { values_[key] = std::move(value); }
  bool has(const std::string& key) const { return values_.count(key) > 0; }

  // Throw kArgument if the key is missing or holds another type.
  int64_t integer(const std::string& key) const;
  double real(const std::string& key) const;
  const std::string& text(const std::string& key) const;
  const std::vector<int64_t>& integers(const std::string& key) const;

  const std::map<std::string, Value>& values() const { return values_; }
  std::string describe() const;  // "padding=2 stride=1"

 private:
  template <class T>
  const T& get(const std::string& key) const;

  std::map<std::string, Value> values_;
};

}  // namespace faultline
