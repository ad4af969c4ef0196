#include "engine/autograd/execution.h"

#include <map>

namespace faultline {
namespace {

thread_local std::map<std::string, int> names_of_step;

}  // namespace

const char* name(Phase phase) {
  switch (phase) {
    case Phase::kForward:
      return "forward";
    case Phase::kBackward:
      return "backward";
    case Phase::kOptimizer:
      break;
  }
  return "optimizer";
}

Execution& execution() {
  thread_local Execution execution;
  return execution;
}

Scope::Scope(const std::string& name) : previous_(execution().scope) {
  execution().scope = previous_.empty() ? name : previous_ + "/" + name;
}

Scope::~Scope() { execution().scope = previous_; }

void begin_step(int64_t step) {
  execution().step = step;
  names_of_step.clear();
}

std::string unique_name(const std::string& name) {
  const int uses = ++names_of_step[name];
  return uses == 1 ? name : name + "#" + std::to_string(uses);
}

ResultPieces* pieces_of(const Tensor& result) {
  Observer* const observer = execution().observer;
  return observer ? observer->on_result(result) : nullptr;
}

Tensors run_op(Phase phase, const std::string& name, const OpDef& op, OpCall call) {
  Tensors outputs = evaluate_forward(op, call);
  if (Observer* observer = execution().observer) observer->on_op({phase, name, op, call, nullptr, outputs});
  return outputs;
}

}  // namespace faultline
