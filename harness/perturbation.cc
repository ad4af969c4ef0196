#include "harness/perturbation.h"

#include <algorithm>

namespace faultline::harness {

std::vector<std::string> perturbation_names() {
  const auto& registry = Registry<Perturbation>::instance();
  std::vector<std::string> names = registry.names();
  std::stable_partition(names.begin(), names.end(),
                        [&](const std::string& name) { return registry.find(name).expect_bitwise; });
  return names;
}

}  // namespace faultline::harness
