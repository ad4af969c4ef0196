#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace faultline::models {

// Which examples each step trains on: a function of (seed, step), so that a run can be resumed at any step.
// Epoch e is a Fisher-Yates shuffle drawn from the stream "shuffle/epoch/<e>" (numerics.md 2.5), cut into
// batches.
class Sampler {
 public:
  struct Config {
    int64_t examples = 0;
    int64_t batch = 64;
    bool drop_last = true;  // drop an epoch's last batch if it is short
    uint64_t seed = 1;
  };

  // Throws kArgument if an epoch would hold no batch.
  explicit Sampler(const Config& config);

  int64_t batches_per_epoch() const { return batches_per_epoch_; }
  std::vector<int32_t> batch(int64_t step);

  // Random numbers drawn per stream for the epochs that batch() opened so far.
  const std::map<std::string, uint64_t>& draws() const { return draws_; }

 private:
  void open_epoch(int64_t epoch);

  Config config_;
  int64_t batches_per_epoch_;
  int64_t epoch_ = -1;
  std::vector<int32_t> order_;
  std::map<std::string, uint64_t> draws_;
};

}  // namespace faultline::models
