#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "amp/underflow.h"
#include "engine/autograd/execution.h"
#include "engine/base/digest.h"
#include "harness/entry.h"
#include "harness/recipe.h"

namespace faultline::harness {

// How much of a step is digested.
enum class Detail : uint8_t { kOff, kState, kOps };

// Everything that the ledger keeps of one step.
struct StepRecord {
  int64_t step = 0;
  double lr = 0;         // rate used (or that would have been used: skipped steps)
  int64_t advances = 0;  // schedule position that lr belongs to
  double scale = 1;      // scale used
  bool overflow = false;
  std::string first_nonfinite;  // parameter; "" if none
  int64_t nonfinite_element = -1;
  bool skipped = false;
  std::string decision;  // one sentence: what was done about the rate and why; "" on ordinary steps
  float loss = 0;
  std::vector<Entry> entries;  // in the order in which they came to be: leaves first, then ops
  int64_t time_us = 0;
  std::map<std::string, amp::UnderflowCount> underflow;  // measured on some steps only, per gradient tensor
};

// Digest of a step over its entries, loss and verdict; any bit of any part changes it.
Digest step_digest(const StepRecord& record);
// Root of the steps up to one, from the root before it and its digest: H(root[s - 1], digest).
Digest chain_root(const Digest& previous, const Digest& step);

// Trains one recipe step by step, in this process. Two trainers of equal recipes give equal bits.
class Trainer {
 public:
  explicit Trainer(const Recipe& recipe);
  ~Trainer();

  int64_t steps() const;  // as the recipe asks
  int64_t next_step() const;

  // Runs the next step: digests as ledger.detail says, verdict, update or skip (numerics.md 2.7).
  StepRecord step();

  // Leaves of the state now, in order: parameters, buffers, optimizer state. Names as in Entry without
  // "leaf/".
  std::vector<std::pair<std::string, Tensor>> state() const;
  size_t parameter_count() const;                 // the first so many of state() are the parameters
  std::map<std::string, uint64_t> draws() const;  // random numbers drawn so far, per stream

  struct Evaluation {
    double loss = 0, accuracy = 0;
    int64_t examples = 0;
  };
  Evaluation evaluate();  // on the test data, in evaluation mode

  Json resolved() const;  // per op of one step: type, unit and accumulator; model, parameters; data sums

  // Sees everything of the coming steps: leaves as forward events would be too little, so they have their own
  // call.
  class Witness : public Observer {
   public:
    virtual void on_leaf(const std::string& name, const Tensor& value) = 0;
  };
  void set_witness(Witness* witness);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Sums of the data files that the recipe trains on, by file. Reads them: throws what loading throws.
Json data_sums(const Recipe& recipe);

// Names and sizes of the model's parameters, in order. Reads no data.
std::vector<std::pair<std::string, int64_t>> parameter_sizes(const Recipe& recipe);

// Applies the process-wide settings of a recipe: threads, instruction set, heap fill.
void apply_runtime(const Recipe& recipe);

}  // namespace faultline::harness
