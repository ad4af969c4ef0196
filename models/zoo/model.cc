#include "models/zoo/model.h"

#include "engine/base/error.h"
#include "engine/base/registry.h"
#include "engine/base/text.h"

namespace faultline::models {
namespace {

void check_known(const std::string& setting) {
  std::vector<std::string> known;
  for (const auto& [name, kind] : Registry<ModelKind>::instance().entries()) {
    for (const auto& [key, value] : kind.defaults) known.push_back(key);
  }
  for (const std::string& key : known) {
    if (key == setting) return;
  }
  throw Error(ErrorCode::kArgument, "model",
              "unknown setting '" + setting + "' (known: " + join(known, ", ") + ")");
}

}  // namespace

std::unique_ptr<Model> make_model(const std::string& name, const ModelSettings& settings, uint64_t seed) {
  const ModelKind& kind = Registry<ModelKind>::instance().find(name);
  ModelSettings merged = kind.defaults;
  for (const auto& [key, value] : settings) {
    check_known(key);
    if (value < 1) {
      throw Error(ErrorCode::kArgument, name, key + " = " + std::to_string(value) + " must be at least 1");
    }
    if (merged.count(key)) merged[key] = value;
  }
  return kind.make(merged, seed);
}

}  // namespace faultline::models
