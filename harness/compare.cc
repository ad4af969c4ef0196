#include "harness/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/numerics/ulp.h"
#include "engine/tensor/digest.h"
#include "harness/difference.h"
#include "harness/explain.h"
#include "harness/growth.h"
#include "harness/parting.h"
#include "harness/verify.h"

namespace faultline::harness {
namespace {

using Steps = std::vector<LedgerStep>;

// A replay takes the threads and the instruction set of its run; they are put back here.
class RuntimeGuard {
 public:
  RuntimeGuard() = default;
  RuntimeGuard(const RuntimeGuard&) = delete;
  ~RuntimeGuard() {
    set_threads(threads_);
    set_instruction_set(instruction_set_);
    set_heap_fill(-1);
  }

 private:
  int threads_ = threads();
  std::string instruction_set_ = instruction_set();
};

// Roots are chained: once they differ they stay different.
int64_t first_differing_step(const Steps& a, const Steps& b) {
  const auto common = static_cast<int64_t>(std::min(a.size(), b.size()));
  int64_t equal = 0, end = common;  // steps below `equal` are equal
  while (equal < end) {
    const int64_t middle = equal + (end - equal) / 2;
    if (a[middle].root == b[middle].root) {
      equal = middle + 1;
    } else {
      end = middle;
    }
  }
  return equal < common ? equal : -1;
}

bool equal_entries(const std::vector<Entry>& a, const std::vector<Entry>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Entry& x, const Entry& y) { return x.name == y.name && x.digest == y.digest; });
}

// Values that only say when and where a run was made, and the marks that a sweep puts on it.
bool is_noise(const std::string& path) {
  static const std::vector<std::string> kNoise = {"labels", "folder", "started", "time", "command"};
  const std::string head = path.substr(0, path.find('/'));
  return std::find(kNoise.begin(), kNoise.end(), head) != kNoise.end();
}

std::string readable(const std::string& pointer) {
  std::string path = pointer.substr(1);
  for (const auto& [escape, character] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}}) {
    for (size_t at; (at = path.find(escape)) != std::string::npos;) path.replace(at, 2, character);
  }
  return path;
}

std::vector<ManifestDifference> manifest_differences(const Json& a, const Json& b) {
  const Json flat_a = a.flatten(), flat_b = b.flatten();
  std::map<std::string, ManifestDifference> differences;
  const auto collect = [&](const Json& from, const Json& other) {
    for (const auto& [pointer, value] : from.items()) {
      const std::string path = readable(pointer);
      if (is_noise(path) || (other.contains(pointer) && other.at(pointer) == value)) continue;
      const auto text = [&](const Json& flat) {
        if (!flat.contains(pointer)) return std::string("absent");
        const Json& leaf = flat.at(pointer);
        return leaf.is_string() ? leaf.get<std::string>() : leaf.dump();
      };
      differences[path] = {path, text(flat_a), text(flat_b)};
    }
  };
  collect(flat_a, flat_b);
  collect(flat_b, flat_a);
  std::vector<ManifestDifference> list;
  for (auto& [path, difference] : differences) list.push_back(std::move(difference));
  return list;
}

std::optional<ScheduleParting> schedule_parting(const Steps& a, const Steps& b) {
  for (size_t s = 0; s < std::min(a.size(), b.size()); ++s) {
    const StepRecord &x = a[s], &y = b[s];
    if (x.scale == y.scale && x.overflow == y.overflow && x.skipped == y.skipped) continue;
    const StepRecord& overflowed = x.overflow ? x : y;
    return ScheduleParting{
        x.step,    x.scale,  y.scale, overflowed.first_nonfinite, overflowed.nonfinite_element,
        x.skipped, y.skipped};
  }
  return std::nullopt;
}

std::optional<int64_t> equal_again_from(const Steps& a, const Steps& b, bool equal_end) {
  if (a.size() != b.size() || a.empty() || !equal_end || a.back().digest != b.back().digest)
    return std::nullopt;
  size_t from = a.size();
  while (from > 0 && a[from - 1].digest == b[from - 1].digest) --from;
  return static_cast<int64_t>(from);
}

std::string nearer_side(double a, double b, double exact) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) ? "b" : "a";
  const double from_a = std::abs(a - exact), from_b = std::abs(b - exact);
  return from_a == from_b ? "both equally" : from_a < from_b ? "a" : "b";
}

// Fills in what the tensors say about the element.
void measure(const Parting& parting, Difference& d) {
  const Tensor &a = parting.a->outputs[parting.output], &b = parting.b->outputs[parting.output];
  const TensorDifference tensors = difference(a, b);
  d.index = a.unravel(tensors.first);
  d.a = a.at(tensors.first);
  d.b = b.at(tensors.first);
  d.bits_a = bits_hex(bits_of(d.a, a.dtype()), a.dtype());
  d.bits_b = bits_hex(bits_of(d.b, b.dtype()), b.dtype());
  d.ulp = ulp_distance(d.a, d.b, a.dtype());
  d.differing = tensors.differing;
  d.elements = a.size();
  d.largest_ulp = tensors.largest_ulp;
  d.largest = tensors.largest;
  if (parting.inputs_equal) d.dot = dot_detail(*parting.a, *parting.b, parting.output, tensors.first);
  d.exact = d.dot ? d.dot->exact : exact_value(*parting.a, parting.output, tensors.first);
  if (d.exact) d.nearer = nearer_side(d.a, d.b, *d.exact);
}

Difference describe(const Parting& parting) {
  const Recorded& one = parting.a ? *parting.a : *parting.b;
  Difference d;
  d.step = one.step;
  d.is_leaf = one.is_leaf;
  d.op = one.op ? one.op->name : "";
  d.phase = one.is_leaf ? "leaf" : name(one.phase);
  d.place = one.output_name(parting.output);
  d.inputs_equal = parting.inputs_equal;
  if (const Tensor& output = one.outputs[parting.output]; output.defined()) {
    d.shape = to_string(output.shape());
    d.format = name(output.dtype());
  }
  if (parting.same_place) measure(parting, d);
  return d;
}

// Replays the steps before and at the first difference on both sides and names the place.
void locate(const Ledger& a, const Ledger& b, const Recipe& recipe_a, const Recipe& recipe_b,
            Verdict& verdict) {
  const RuntimeGuard guard;
  const int64_t last = verdict.first_differing_step, first = std::max<int64_t>(0, last - 1);
  const std::vector<Recorded> replay_a = replay(recipe_a, first, last);
  const std::vector<Recorded> replay_b = replay(recipe_b, first, last);
  const std::string mismatch_a = replay_mismatch(a, replay_a), mismatch_b = replay_mismatch(b, replay_b);
  std::optional<Parting> parting;
  if (!mismatch_a.empty() || !mismatch_b.empty()) {
    verdict.unreplayed = fmt::format("run {} at {}", mismatch_a.empty() ? "b" : "a",
                                     mismatch_a.empty() ? mismatch_b : mismatch_a);
  } else {
    parting = first_parting(replay_a, replay_b);
    if (!parting) verdict.unreplayed = fmt::format("both runs at step {}", last);
  }
  if (parting) verdict.first = describe(*parting);
  explain({verdict, parting ? &*parting : nullptr, recipe_a, recipe_b}, verdict);
}

void summarise(const Ledger& a, const Ledger& b, Verdict& verdict) {
  const RunResult result_a = a.result().value_or(RunResult{}), result_b = b.result().value_or(RunResult{});
  verdict.final_loss_a = result_a.final_loss;
  verdict.final_loss_b = result_b.final_loss;
  verdict.accuracy_a = result_a.test_accuracy;
  verdict.accuracy_b = result_b.test_accuracy;
  verdict.steps_a = a.size();
  verdict.steps_b = b.size();
  verdict.largest_weight_difference = largest_weight_difference(a, b);
  verdict.manifests = manifest_differences(a.manifest(), b.manifest());
}

Recipe recipe_of(const Ledger& ledger) {
  if (!ledger.manifest().contains("recipe")) {
    throw Error(ErrorCode::kData, ledger.path(),
                "has a manifest without a recipe: not written by `faultline run`");
  }
  return Recipe::from_json(ledger.manifest().at("recipe"), ledger.path());
}

}  // namespace

int64_t first_differing_step(const Ledger& a, const Ledger& b) {
  return first_differing_step(a.steps(), b.steps());
}

Verdict compare(const Ledger& a, const Ledger& b) {
  const Steps steps_a = a.steps(), steps_b = b.steps();
  const Recipe recipe_a = recipe_of(a), recipe_b = recipe_of(b);
  const bool both_closed = a.closed() && b.closed();
  const bool equal_end = both_closed && equal_entries(a.final_state(), b.final_state());
  Verdict verdict;
  summarise(a, b, verdict);
  verdict.schedule = schedule_parting(steps_a, steps_b);
  verdict.first_differing_step = first_differing_step(steps_a, steps_b);
  const bool all_steps_equal = verdict.first_differing_step < 0 && steps_a.size() == steps_b.size();
  verdict.bitwise = all_steps_equal && equal_end;
  if (all_steps_equal && both_closed && !equal_end) verdict.first_differing_step = a.size();
  if (verdict.first_differing_step >= 0) {
    verdict.equal_again_from = equal_again_from(steps_a, steps_b, equal_end);
    locate(a, b, recipe_a, recipe_b, verdict);
  } else {
    explain({verdict, nullptr, recipe_a, recipe_b}, verdict);
  }
  return verdict;
}

}  // namespace faultline::harness
