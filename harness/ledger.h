#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/trainer.h"

namespace faultline::harness {

constexpr int kLedgerSchema = 1;

// What a run says of itself when it has ended.
struct RunResult {
  double final_loss = 0, test_loss = 0, test_accuracy = 0;
  int64_t steps = 0;
  double step_time_us = 0;  // median
};

// A step as a ledger keeps it.
struct LedgerStep : StepRecord {
  Digest digest;  // of the step
  Digest root;    // of the steps up to it
};

// Writes one run's ledger: one SQLite file. Steps are digested, chained and committed in groups, of about a second, so
// that an interrupted ledger is readable up to its last group. Throws kIo with the path when the system refuses a write.
class LedgerWriter {
 public:
  // Refuses an existing file. `manifest` is kept inside too.
  LedgerWriter(const std::string& path, const Json& manifest);
  ~LedgerWriter();  // Without close(): what is committed stays, marked as not closed.

  void add(StepRecord record);
  // Parameters at the start of `step`, f32.
  void add_snapshot(int64_t step, const std::vector<std::pair<std::string, Tensor>>& parameters);
  void close(const RunResult& result, const std::map<std::string, uint64_t>& draws,
             const std::vector<Entry>& final_state);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Reads a ledger. Throws kData for a file that is not a ledger, is damaged or cut short, or has another
// schema.
class Ledger {
 public:
  static Ledger open(const std::string& path);
  ~Ledger();
  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;

  const std::string& path() const;
  const Json& manifest() const;
  bool closed() const;  // false: the run was interrupted
  std::optional<RunResult> result() const;
  std::map<std::string, uint64_t> draws() const;

  int64_t size() const;                   // steps written
  LedgerStep step(int64_t step) const;    // with entries
  std::vector<LedgerStep> steps() const;  // without entries, cheap
  std::vector<Entry> final_state() const;
  std::vector<int64_t> snapshot_steps() const;
  // Parameters at the start of `step` (the last one: after the run).
  std::map<std::string, std::vector<float>> snapshot(int64_t step) const;

 private:
  struct Parts;
  explicit Ledger(std::unique_ptr<Parts> parts);
  void check_steps() const;  // that each gives its own digest
  [[noreturn]] void refuse_step(int64_t step) const;
  std::unique_ptr<Parts> parts_;
};

}  // namespace faultline::harness
