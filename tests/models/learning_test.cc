#include <catch2/catch.hpp>
#include <cmath>

#include "amp/gradients.h"
#include "amp/policy.h"
#include "amp/scaler.h"
#include "engine/ops/cross_entropy.h"
#include "engine/optim/optimizer.h"
#include "models/data/dataset.h"
#include "models/data/sampler.h"
#include "models/layers/functional.h"
#include "models/layers/linear.h"

namespace faultline::models {
namespace {

// Three linear layers on synthetic images of 8 x 8, trained in mixed precision.
class Training {
 public:
  Training(const amp::Policy& policy, const amp::ScalerConfig& scaler, const OptimizerConfig& optimizer)
      : autocast_(policy),
        scaler_(amp::make_scaler(scaler)),
        scale_(scaler_->initial()),
        optimizer_(make_optimizer(optimizer)) {}

  // Returns the loss before the update.
  double step(int64_t step, double lr) {
    const Execution around = execution();
    execution().precision = &autocast_;
    begin_step(step);
    autocast_.begin_step();
    const Batch batch = data_.train.batch(sampler_.batch(step));
    const Variable loss = cross_entropy(logits(Variable(batch.x)), Variable(batch.labels));
    amp::scale_loss(loss, scale_.scale).backward();
    const amp::Verdict verdict = amp::scan(parameters_.trained());
    if (!verdict.overflow || !scaler_->skips_on_overflow()) {
      amp::unscale(parameters_.trained(), scale_.scale);
      optimizer_->step(parameters_.trained(), lr);
    } else {
      ++skipped;
    }
    scale_ = scaler_->next(scale_, verdict.overflow);
    execution() = around;
    return loss.value().at(0);
  }

  // The loss of the best guess that does not look at the image: the entropy of the labels, in nats.
  double entropy() const {
    std::vector<double> counts(data_.train.classes);
    for (const int32_t label : data_.train.labels) ++counts[label];
    double entropy = 0;
    for (const double count : counts) {
      const double share = count / static_cast<double>(data_.train.size());
      entropy -= share * std::log(share);
    }
    return entropy;
  }

  int64_t skipped = 0;

 private:
  Variable logits(const Variable& x) {
    const Variable first = named_relu("relu1", fc1_(named_flatten("flatten", x)));
    return fc3_(named_relu("relu2", fc2_(first)));
  }

  Datasets data_ = load_datasets({.name = "synthetic", .image_size = 8});
  Sampler sampler_{{.examples = data_.train.size(), .batch = 64, .seed = 1}};
  Parameters parameters_{1};
  Linear fc1_{parameters_, "fc1", 64, 32}, fc2_{parameters_, "fc2", 32, 32}, fc3_{parameters_, "fc3", 32, 10};
  amp::Autocast autocast_;
  std::unique_ptr<amp::LossScaler> scaler_;
  amp::ScalerState scale_;
  std::unique_ptr<Optimizer> optimizer_;
};

double mean_of_last_losses(Training& training, double lr) {
  double sum = 0;
  for (int64_t step = 0; step < 100; ++step) {
    const double loss = training.step(step, lr);
    if (step >= 90) sum += loss / 10;
  }
  return sum;
}

TEST_CASE("training: a three-layer mlp learns in every compute format") {
  for (const Dtype compute : {Dtype::kF32, Dtype::kTf32, Dtype::kBf16, Dtype::kF16}) {
    const bool scaled = compute == Dtype::kF16;
    Training training({.compute = compute}, {.name = scaled ? "dynamic" : "none"},
                      {.name = "sgd", .momentum = 0.9});
    INFO(name(compute));
    CHECK(mean_of_last_losses(training, 0.05) < training.entropy() / 2);
    CHECK(training.skipped < 20);
  }
}

TEST_CASE("training: a three-layer mlp learns with every optimizer") {
  for (const auto& [name, kind] : Registry<OptimizerKind>::instance().entries()) {
    Training training({}, {}, {.name = name, .momentum = 0.9, .weight_decay = 1e-4});
    INFO(name);
    CHECK(mean_of_last_losses(training, name == "sgd" ? 0.05 : 0.005) < training.entropy() / 2);
  }
}

TEST_CASE("training: a scale that is too large is backed off from and training goes on") {
  Training training({.compute = Dtype::kF16}, {.name = "dynamic", .init_scale = 0x1p40}, {.momentum = 0.9});
  CHECK(mean_of_last_losses(training, 0.05) < training.entropy() / 2);
  CHECK(training.skipped > 10);
}

}  // namespace
}  // namespace faultline::models
