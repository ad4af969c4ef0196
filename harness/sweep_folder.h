#pragma once

#include <string>

#include "harness/sweep_plan.h"

namespace faultline::harness {

// The folder of one sweep, held alone while this exists. Only what a sweep wrote is ever removed from it.
class SweepFolder {
 public:
  // Makes or enters the folder. With `fresh` an earlier sweep in it is removed first. Throws kMismatch if it
  // belongs to another sweep, holds files but no sweep, or another process works in it; kIo.
  SweepFolder(const std::string& path, const Json& identity, bool fresh);
  ~SweepFolder();
  SweepFolder(const SweepFolder&) = delete;

  const std::string& path() const { return path_; }  // absolute
  std::string of(const PlannedRun& run) const { return path_ + "/" + run.folder; }

  // True if the run's ledger is there, closed, and was made by this plan, data and build.
  bool has(const PlannedRun& run) const;
  void remove_run(const std::string& folder) const;

  // Writes sweep.json; `identity` goes into it.
  void write(const SweepResult& result) const;
  double earlier_seconds() const { return earlier_seconds_; }  // spent by sweeps that this one goes on from

 private:
  void check_owner(bool fresh);
  void remove_sweep(const Json& sweep) const;

  std::string path_;
  Json identity_;
  int lock_ = -1;
  double earlier_seconds_ = 0;
};

}  // namespace faultline::harness
