#include <algorithm>

#include "engine/base/error.h"
#include "engine/base/registry.h"
#include "engine/numerics/philox.h"
#include "models/data/dataset.h"

namespace faultline::models {
namespace {

constexpr int64_t kClasses = 10, kTrainExamples = 2048, kTestExamples = 512;

// Each class has a pattern of uniform pixels; an example is a quarter of noise and three quarters of its
// class's pattern, so that a linear model separates the classes and a wrong gradient does not.
Dataset make_part(const DataConfig& config, const std::string& part, int64_t examples) {
  Dataset set;
  set.image_shape = {1, config.image_size, config.image_size};
  set.classes = kClasses;
  set.levels = normalised_levels(0.5f, 0.25f);
  const int64_t image = element_count(set.image_shape);
  std::vector<uint8_t> patterns(kClasses * image);
  Draws pattern(config.seed, "synthetic/patterns"), noise(config.seed, "synthetic/" + part);
  for (uint8_t& pixel : patterns) pixel = static_cast<uint8_t>(pattern.u32() >> 24);
  const auto pixels = std::make_shared<std::vector<uint8_t>>();
  for (int64_t n = 0; n < examples; ++n) {
    const int32_t label = static_cast<int32_t>(noise.below(kClasses));
    set.labels.push_back(label);
    for (int64_t i = 0; i < image; ++i) {
      const uint32_t random = noise.u32() >> 24;
      pixels->push_back(static_cast<uint8_t>((3 * patterns[label * image + i] + random) / 4));
    }
  }
  set.pixels = *pixels;
  set.memory = pixels;
  return set;
}

const Registered<DatasetKind> kSynthetic{
    "synthetic", {[](const DataConfig& config) -> Datasets {
      if (config.image_size < 1 || config.image_size > 1024) {
        throw Error(ErrorCode::kArgument, "synthetic data",
                    "image_size = " + std::to_string(config.image_size) + " must be from 1 to 1024");
      }
      return {make_part(config, "train", std::max(config.train_examples, kTrainExamples)),
              make_part(config, "test", std::max(config.test_examples, kTestExamples))};
    }}};

}  // namespace
}  // namespace faultline::models
