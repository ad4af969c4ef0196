#include "engine/autograd/attributes.h"

#include <fmt/format.h>

#include "engine/base/error.h"

namespace faultline {
namespace {

std::string print(int64_t value) { return std::to_string(value); }
std::string print(double value) { return fmt::format("{}", value); }
std::string print(const std::string& value) { return value; }
std::string print(const std::vector<int64_t>& values) { return fmt::format("[{}]", fmt::join(values, ",")); }

}  // namespace

template <class T>
const T& Attributes::get(const std::string& key) const {
  const auto it = values_.find(key);
  if (it == values_.end() || !std::holds_alternative<T>(it->second)) {
    throw Error(ErrorCode::kArgument, "attributes", "no '" + key + "' of this type in {" + describe() + "}");
  }
  return std::get<T>(it->second);
}

int64_t Attributes::integer(const std::string& key) const { return get<int64_t>(key); }
double Attributes::real(const std::string& key) const { return get<double>(key); }
const std::string& Attributes::text(const std::string& key) const { return get<std::string>(key); }
const std::vector<int64_t>& Attributes::integers(const std::string& key) const {
  return get<std::vector<int64_t>>(key);
}

std::string Attributes::describe() const {
  std::string text;
  for (const auto& [key, value] : values_) {
    if (!text.empty()) text += ' ';
    text += key + "=" + std::visit([](const auto& v) { return print(v); }, value);
  }
  return text;
}

}  // namespace faultline
