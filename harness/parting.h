#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/replay.h"

namespace faultline::harness {

// The first place where two replays of the same steps differ: everything before it is equal in every bit.
struct Parting {
  const Recorded* a = nullptr;
  const Recorded* b = nullptr;  // null: this run ended here, or did something else at this place
  bool same_place = true;       // false: the runs did different things here (other ops, names or formats)
  size_t output = 0;            // index into outputs
  bool inputs_equal = true;     // of the op; false: what changed them is not recorded
};

// Walks two replays in order. Neither may outlive its argument.
std::optional<Parting> first_parting(const std::vector<Recorded>& a, const std::vector<Recorded>& b);

// The value of one output element in f64 from the same inputs, as the op's unit reads them (tf32: rounded
// first). Products of two 24-bit values are exact in f64, so only additions round, with 29 bits to spare:
// beside the distance of two f32 results it stands for the exact value. None for leaves and integers.
std::optional<double> exact_value(const Recorded& recorded, size_t output, int64_t element);

}  // namespace faultline::harness
