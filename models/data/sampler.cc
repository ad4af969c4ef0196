#include "models/data/sampler.h"

#include <algorithm>
#include <numeric>

#include "engine/base/error.h"
#include "engine/numerics/philox.h"

namespace faultline::models {

Sampler::Sampler(const Config& config) : config_(config), batches_per_epoch_(0) {
  if (config.examples >= 1 && config.batch >= 1) {
    batches_per_epoch_ = (config.examples + (config.drop_last ? 0 : config.batch - 1)) / config.batch;
  }
  if (batches_per_epoch_ == 0) {
    throw Error(ErrorCode::kArgument, "sampler",
                "no batch of " + std::to_string(config.batch) + " in " + std::to_string(config.examples) +
                    " examples, choose a smaller batch");
  }
}

void Sampler::open_epoch(int64_t epoch) {
  epoch_ = epoch;
  order_.resize(config_.examples);
  std::iota(order_.begin(), order_.end(), 0);
  const std::string stream = "shuffle/epoch/" + std::to_string(epoch);
  Draws draws(config_.seed, stream);
  shuffle(order_, draws);
  draws_[stream] = draws.count();
}

std::vector<int32_t> Sampler::batch(int64_t step) {
  const int64_t epoch = step / batches_per_epoch_;
  if (epoch != epoch_) open_epoch(epoch);
  const int64_t begin = step % batches_per_epoch_ * config_.batch;
  const int64_t end = std::min(begin + config_.batch, config_.examples);
  return {order_.begin() + begin, order_.begin() + end};
}

}  // namespace faultline::models
