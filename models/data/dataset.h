#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"

namespace faultline::models {

// What a step trains on.
struct Batch {
  Tensor x;                      // f32 [N, channels, rows, columns], normalised
  Tensor labels;                 // i32 [N]
  std::vector<int32_t> indices;  // of the examples in their data set
};

// Labelled images of 8 bits a pixel, normalised when a batch is made.
struct Dataset {
  Shape image_shape;                   // [channels, rows, columns]
  std::span<const uint8_t> pixels;     // example by example, row-major
  std::shared_ptr<const void> memory;  // keeps them
  std::vector<int32_t> labels;         // 0 .. classes - 1
  int64_t classes = 0;
  std::array<float, 256> levels{};            // normalised value of each pixel value
  std::map<std::string, std::string> sha256;  // of the files it was read from; empty if made up

  int64_t size() const { return static_cast<int64_t>(labels.size()); }

  // Returns the examples at `indices`, in that order.
  Batch batch(std::vector<int32_t> indices) const;
};

// Returns ((pixel / 255) - mean) / deviation for each pixel value, three f32 operations.
std::array<float, 256> normalised_levels(float mean, float deviation);

struct DataConfig {
  std::string name = "fashion_mnist";
  std::string path = {};       // folder of the files; "": where Debian's package puts them
  int64_t train_examples = 0;  // the first so many; 0: all
  int64_t test_examples = 0;
  int64_t image_size = 28;  // synthetic: rows and columns
  uint64_t seed = 1;        // synthetic
};

struct Datasets {
  Dataset train, test;
};

// An entry of the data set registry.
struct DatasetKind {
  static constexpr const char* kKind = "data set";
  std::function<Datasets(const DataConfig&)> load;
};

// Loads a data set. Throws kNotFound for an unknown name, kData for a file that is missing or not what it
// should be, kArgument for more examples than there are.
Datasets load_datasets(const DataConfig& config);

}  // namespace faultline::models
