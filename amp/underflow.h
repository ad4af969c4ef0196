#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "engine/autograd/execution.h"

namespace faultline::amp {

// Values of one 16-bit gradient tensor beside the same gradient computed in f32.
struct UnderflowCount {
  int64_t lost = 0;       // zero in 16 bits, not zero in f32
  int64_t subnormal = 0;  // subnormal in 16 bits
  int64_t nonzero = 0;    // not zero in f32

  bool operator==(const UnderflowCount&) const = default;
};

// Counts what 16-bit gradients lose: evaluates each backward op that gave one again, with its inputs, forward
// outputs and incoming gradient widened to f32 and ordered f32 arithmetic, and compares.
// So a loss is charged to the op in which it happens, not to those that get its zeros.
class UnderflowObserver : public Observer {
 public:
  void on_op(const OpEvent& event) override;

  // By gradient: "conv1/dw". Since the last clear().
  const std::map<std::string, UnderflowCount>& counts() const { return counts_; }
  void clear() { counts_.clear(); }

 private:
  std::map<std::string, UnderflowCount> counts_;
};

}  // namespace faultline::amp
