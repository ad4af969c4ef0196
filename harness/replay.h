#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/trainer.h"

namespace faultline::harness {

// One leaf or op of a replayed step, with all its tensors.
struct Recorded {
  int64_t step = 0;
  bool is_leaf = false;
  Phase phase = Phase::kForward;
  std::string name;  // leaf: "conv1.weight"; op: "conv1"
  const OpDef* op = nullptr;
  OpCall call;               // ops: inputs, attributes, arithmetic
  Tensors forward_outputs;   // backward only
  Tensor grad_output;        // backward only
  std::vector<bool> wanted;  // backward only
  Tensors outputs;           // leaf: its value; op: outputs, or one gradient per input

  // The inputs that the op read, with names: "x", "w", "grad_output", "output" ...
  std::vector<std::pair<std::string, Tensor>> inputs() const;
  // Name of outputs[i] as people say it: "conv2/dw", "conv2", "conv1.weight".
  std::string output_name(size_t i) const;

  // Evaluates the recorded call again: by the scalar reference, by the kernels, or by the reference in f64.
  Tensors evaluate_reference() const;
  Tensors evaluate_kernels() const;
  Tensors evaluate_f64() const;
};

// Trains the recipe from its start and returns everything of the steps first .. last (inclusive), in order.
// `last` may be the number of steps: then the final state's leaves follow.
std::vector<Recorded> replay(const Recipe& recipe, int64_t first, int64_t last);

}  // namespace faultline::harness
