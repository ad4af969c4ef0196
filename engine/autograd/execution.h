#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/autograd/op.h"
#include "engine/autograd/variable.h"
#include "engine/base/result_pieces.h"

namespace faultline {

enum class Phase : uint8_t { kForward, kBackward, kOptimizer };
const char* name(Phase phase);

// One evaluated op, as an observer sees it.
struct OpEvent {
  Phase phase;
  const std::string& name;  // scope of the call, unique within a step: "conv1", "conv1/cast_w"
  const OpDef& op;
  const OpCall& call;
  const OpGradCall* grad_call;  // backward only
  const Tensors&
      outputs;  // forward: the outputs; backward: one gradient per input, undefined where not wanted
};

// Sees every op after it ran: ledgers, replays, statistics.
class Observer {
 public:
  virtual ~Observer() = default;

  // A contiguous result that an op will write now. Returns who looks at its pieces as they are written, until on_op at
  // the latest, or null. Some are not outputs of the op, but on its way to them.
  virtual ResultPieces* on_result(const Tensor&) { return nullptr; }

  virtual void on_op(const OpEvent& event) = 0;
};

// The one hook through which a precision policy acts: the formats of an op's inputs, and its arithmetic.
class PrecisionHook {
 public:
  virtual ~PrecisionHook() = default;
  virtual std::vector<Variable> cast(const OpDef& op, std::vector<Variable> inputs) = 0;
  virtual Arithmetic arithmetic(const OpDef& op) const = 0;
};

// What surrounds the ops that this thread applies.
struct Execution {
  PrecisionHook* precision = nullptr;  // null: inputs as they are, default arithmetic
  Observer* observer = nullptr;
  std::string scope;  // name of the layer that calls; "" outside
  int64_t step = 0;   // training step: part of the name of every random stream
  uint64_t seed = 0;
  bool training = true;
};
Execution& execution();

// Sets the name under which ops are reported until the end of the block: `Scope scope("conv1");` Scopes nest
// with '/'.
class Scope {
 public:
  explicit Scope(const std::string& name);
  ~Scope();
  Scope(const Scope&) = delete;

 private:
  std::string previous_;
};

// Sets execution().step and restarts the numbering that keeps the names of ops unique within a step.
void begin_step(int64_t step);

// Returns `name` the first time in a step, then "name#2", "name#3", ...
std::string unique_name(const std::string& name);

// Who looks at the pieces of a result that this thread's op will write, or null.
ResultPieces* pieces_of(const Tensor& result);

// Runs one forward evaluation outside the tape (optimizer updates, gradient sums) and shows it to the
// observer.
Tensors run_op(Phase phase, const std::string& name, const OpDef& op, OpCall call);

}  // namespace faultline
