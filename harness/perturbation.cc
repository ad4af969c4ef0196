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

std::vector<std::string> run_names(const std::string& perturbation, const Recipe& recipe) {
  std::vector<std::string> names = Registry<Perturbation>::instance().find(perturbation).variants(recipe);
  for (std::string& name : names) name = perturbation + (name.empty() ? "" : ":" + name);
  return names;
}

std::string column_of(const std::string& run_name) { return run_name.substr(0, run_name.find(':')); }

void perturb(Launch& launch, const std::string& run_name, uint64_t seed) {
  const std::string column = column_of(run_name);
  const std::string variant = run_name.substr(std::min(run_name.size(), column.size() + 1));
  Registry<Perturbation>::instance().find(column).apply(launch, seed, variant);
}

}  // namespace faultline::harness
