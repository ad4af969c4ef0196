#include "models/data/dataset.h"

#include "engine/base/error.h"
#include "engine/base/registry.h"

namespace faultline::models {

Batch Dataset::batch(std::vector<int32_t> indices) const {
  Shape shape = {static_cast<int64_t>(indices.size())};
  shape.insert(shape.end(), image_shape.begin(), image_shape.end());
  Batch batch{Tensor::empty(shape, Dtype::kF32), Tensor::empty({shape[0]}, Dtype::kI32), std::move(indices)};
  const int64_t image = element_count(image_shape);
  float* x = batch.x.mutable_data<float>();
  int32_t* label = batch.labels.mutable_data<int32_t>();
  for (const int32_t index : batch.indices) {
    const uint8_t* pixel = pixels.data() + index * image;
    for (int64_t i = 0; i < image; ++i) *x++ = levels[pixel[i]];
    *label++ = labels[index];
  }
  return batch;
}

std::array<float, 256> normalised_levels(float mean, float deviation) {
  std::array<float, 256> levels;
  for (int pixel = 0; pixel < 256; ++pixel) {
    levels[pixel] = (static_cast<float>(pixel) / 255.0f - mean) / deviation;
  }
  return levels;
}

namespace {

void keep_first(Dataset& set, const std::string& part, int64_t examples) {
  if (examples == 0) return;
  if (examples < 0 || examples > set.size()) {
    throw Error(
        ErrorCode::kArgument, "data",
        std::to_string(examples) + " " + part + " examples wanted, there are " + std::to_string(set.size()));
  }
  set.labels.resize(examples);
  set.pixels.resize(examples * element_count(set.image_shape));
}

}  // namespace

Datasets load_datasets(const DataConfig& config) {
  Datasets sets = Registry<DatasetKind>::instance().find(config.name).load(config);
  keep_first(sets.train, "training", config.train_examples);
  keep_first(sets.test, "test", config.test_examples);
  return sets;
}

}  // namespace faultline::models
