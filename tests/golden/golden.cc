#include "tests/golden/golden.h"

#include <fmt/format.h>

#include "harness/recipes/recipes.h"

namespace faultline::harness {
namespace {

constexpr size_t kMarkDigits = 4;

std::string mark(const Entry& entry) { return entry.digest.hex().substr(0, kMarkDigits); }

}  // namespace

std::vector<StepRecord> golden_steps(const std::string& recipe_name, const std::string& instruction_set,
                                     int threads) {
  Recipe recipe = find_recipe(recipe_name);
  recipe.set("ledger.detail", "ops", "golden");
  recipe.set("ledger.underflow_every", "0", "golden");
  recipe.set("runtime.instruction_set", instruction_set, "golden");
  recipe.set("runtime.threads", std::to_string(threads), "golden");
  apply_runtime(recipe);
  Trainer trainer(recipe);
  std::vector<StepRecord> records;
  while (trainer.next_step() < kGoldenSteps) records.push_back(trainer.step());
  return records;
}

std::string golden_line(const std::string& recipe, const StepRecord& record) {
  std::string line = fmt::format("{} {} {} ", recipe, record.step, step_digest(record).hex());
  for (const Entry& entry : record.entries) line += mark(entry);
  return line;
}

std::string first_difference(const std::string& recipe, const StepRecord& record, const std::string& golden) {
  const std::string line = golden_line(recipe, record);
  if (line == golden) return "";
  const size_t marks = line.size() - kMarkDigits * record.entries.size();
  if (line.size() != golden.size()) return "the list of its ops";
  for (size_t i = 0; i < record.entries.size(); ++i) {
    const size_t at = marks + kMarkDigits * i;
    if (golden.compare(at, kMarkDigits, line, at, kMarkDigits) != 0) return record.entries[i].name;
  }
  return "the loss or the verdict";
}

}  // namespace faultline::harness
