#include "models/data/dataset.h"

#include <algorithm>

#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/base/registry.h"

namespace faultline::models {
namespace {

constexpr int64_t kPixelsPerThread = 1 << 13, kCacheLine = 64;

// The examples of a batch lie anywhere in the set.
void prefetch(const uint8_t* pixels, int64_t count) {
  for (int64_t i = 0; i < count; i += kCacheLine) __builtin_prefetch(pixels + i);
}

void normalise(const uint8_t* __restrict__ pixels, int64_t count, const float* __restrict__ levels,
               float* __restrict__ x) {
  for (int64_t i = 0; i < count; ++i) x[i] = levels[pixels[i]];
}

}  // namespace

Batch Dataset::batch(std::vector<int32_t> indices) const {
  Shape shape = {static_cast<int64_t>(indices.size())};
  shape.insert(shape.end(), image_shape.begin(), image_shape.end());
  Batch batch{Tensor::empty(shape, Dtype::kF32), Tensor::empty({shape[0]}, Dtype::kI32), std::move(indices)};
  const int64_t image = element_count(image_shape);
  float* x = batch.x.mutable_data<float>();
  int32_t* label = batch.labels.mutable_data<int32_t>();
  const int64_t grain = std::max<int64_t>(1, kPixelsPerThread / std::max<int64_t>(image, 1));
  parallel_for("batch", batch.x.dim(0), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t index = batch.indices[i];
      if (i + 1 < end) prefetch(pixels.data() + batch.indices[i + 1] * image, image);
      normalise(pixels.data() + index * image, image, levels.data(), x + i * image);
      label[i] = labels[index];
    }
  });
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
  set.pixels = set.pixels.first(examples * element_count(set.image_shape));
}

}  // namespace

Datasets load_datasets(const DataConfig& config) {
  Datasets sets = Registry<DatasetKind>::instance().find(config.name).load(config);
  keep_first(sets.train, "training", config.train_examples);
  keep_first(sets.test, "test", config.test_examples);
  return sets;
}

}  // namespace faultline::models
