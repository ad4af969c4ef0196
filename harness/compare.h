#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/dot_detail.h"
#include "harness/ledger.h"

namespace faultline::harness {

// The first place where two runs differ.
struct Difference {
  int64_t step = 0;
  bool is_leaf = false;       // a leaf: something outside the ops changed it (a planted ulp, other data)
  std::string place;          // "conv2/dw", "conv1.weight"
  std::string op;             // op of the registry, "" for a leaf
  std::string phase;          // forward, backward, optimizer, leaf
  std::string shape, format;  // of the tensor: "[16, 6, 5, 5]", "f32"
  bool inputs_equal = true;   // of the op; false: what changed them is not recorded
  std::vector<int64_t> index;
  double a = 0, b = 0;
  std::string bits_a, bits_b;  // hexadecimal, as stored
  int64_t ulp = 0;
  int64_t differing = 0, elements = 0;  // how many of the tensor's elements differ
  int64_t largest_ulp = 0;
  double largest = 0;            // largest |a - b|
  std::optional<double> exact;   // of that element, from the same inputs in f64; none for leaves
  std::string nearer;            // "a", "b", "both equally", "" without exact
  std::optional<DotDetail> dot;  // products: the element on every unit
};

// Where the loss-scale schedules part.
struct ScheduleParting {
  int64_t step = 0;
  double scale_a = 1, scale_b = 1;
  std::string gradient;  // parameter whose gradient was not finite on one side
  int64_t element = -1;
  bool skipped_a = false, skipped_b = false;
};

struct ManifestDifference {
  std::string path;  // "recipe/runtime.threads"
  std::string a, b;
};

// What a comparison of two ledgers says.
struct Verdict {
  bool bitwise = false;
  std::optional<Difference> first;
  std::optional<ScheduleParting> schedule;
  std::optional<int64_t> equal_again_from;  // step from which every step digest is equal again, to the end
  std::vector<ManifestDifference> manifests;
  int64_t steps_a = 0, steps_b = 0;
  int64_t first_differing_step =
      -1;                  // by the ledgers' roots; the number of steps: only the final state differs
  std::string unreplayed;  // where a replay did not give its ledger; then there is no `first`
  double final_loss_a = 0, final_loss_b = 0, accuracy_a = 0, accuracy_b = 0;
  double largest_weight_difference = 0;  // after the last common snapshot
  std::string cause;                     // short: "order of additions", "one ulp planted in conv1.weight"
  std::string sentence;                  // cause and place, for people
};

Json to_json(const Verdict& verdict);
Verdict verdict_from_json(const Json& json);

// First step at which the roots of two ledgers differ, found by bisection; -1 if none up to the shorter one's
// end.
int64_t first_differing_step(const Ledger& a, const Ledger& b);

// Compares two ledgers; where they differ, replays the steps around the first difference on both sides, each
// under its own runtime settings, and names the first op whose inputs were equal and whose output was not.
// Where a replay does not give its own ledger (another build, or a result that depends on what was not
// recorded), `unreplayed` says so: that too is an answer.
Verdict compare(const Ledger& a, const Ledger& b);

}  // namespace faultline::harness
