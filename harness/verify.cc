#include "harness/verify.h"

#include <fmt/format.h>

#include <map>

#include "engine/base/error.h"
#include "engine/tensor/digest.h"
#include "harness/expected_rate.h"

namespace faultline::harness {
namespace {

// The ledger's name of a recorded output.
std::string entry_name(const Recorded& recorded, size_t output) {
  return fmt::format("{}/{}", recorded.is_leaf ? "leaf" : name(recorded.phase), recorded.output_name(output));
}

std::map<std::string, Digest> entries_of(const Ledger& ledger, int64_t step) {
  std::map<std::string, Digest> entries;
  if (step > ledger.size()) return entries;
  for (const Entry& e : step == ledger.size() ? ledger.final_state() : ledger.step(step).entries) {
    entries.emplace(e.name, e.digest);
  }
  return entries;
}

void verify_rates(const Ledger& ledger, std::vector<std::string>& findings) {
  const std::vector<double> expected = expected_rates(ledger);
  const std::vector<LedgerStep> steps = ledger.steps();
  for (size_t s = 0; s < steps.size(); ++s) {
    if (!rate_differs(steps[s].lr, expected[s])) continue;
    findings.push_back(
        fmt::format("step {}: the rate used was {}, the schedule gives {}", s, steps[s].lr, expected[s]));
  }
}

// What differs first between two records of the same step.
std::string first_contradiction(const StepRecord& kept, const StepRecord& replayed) {
  for (size_t i = 0; i < std::min(kept.entries.size(), replayed.entries.size()); ++i) {
    if (kept.entries[i].digest != replayed.entries[i].digest) return kept.entries[i].name;
  }
  return kept.loss == replayed.loss ? "its verdict" : "its loss";
}

void verify_replay(const Ledger& ledger, const Recipe& recipe, int64_t last,
                   std::vector<std::string>& findings) {
  apply_runtime(recipe);
  Trainer trainer(recipe);
  if (ledger.closed() && ledger.size() != trainer.steps()) {
    findings.push_back(fmt::format("holds {} steps, its recipe asks for {}", ledger.size(), trainer.steps()));
  }
  Digest root;
  for (int64_t s = 0; s <= last; ++s) {
    const StepRecord replayed = trainer.step();
    const LedgerStep kept = ledger.step(s);
    root = chain_root(root, step_digest(replayed));
    if (root == kept.root) continue;
    findings.push_back(fmt::format("step {}: the replay does not give the ledger's digest, first in {}", s,
                                   first_contradiction(kept, replayed)));
    return;
  }
}

}  // namespace

std::string replay_mismatch(const Ledger& ledger, const std::vector<Recorded>& replayed) {
  std::map<int64_t, std::map<std::string, Digest>> kept;
  for (const Recorded& recorded : replayed) {
    if (!kept.count(recorded.step)) kept[recorded.step] = entries_of(ledger, recorded.step);
    for (size_t i = 0; i < recorded.outputs.size(); ++i) {
      if (!recorded.outputs[i].defined()) continue;
      const auto entry = kept[recorded.step].find(entry_name(recorded, i));
      if (entry != kept[recorded.step].end() && entry->second != digest(recorded.outputs[i])) {
        return fmt::format("step {}, {}", recorded.step, entry->first);
      }
    }
  }
  return "";
}

std::vector<std::string> verify(const Ledger& ledger, int64_t step) {
  if (step < 0 || step >= ledger.size()) {
    throw Error(ErrorCode::kArgument, ledger.path(),
                fmt::format("has no step {}, it holds {} steps", step, ledger.size()));
  }
  std::vector<std::string> findings;
  verify_rates(ledger, findings);
  verify_replay(ledger, Recipe::from_json(ledger.manifest().at("recipe"), ledger.path()), step, findings);
  return findings;
}

}  // namespace faultline::harness
