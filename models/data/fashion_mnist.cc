#include <fmt/format.h>

#include <filesystem>

#include "engine/base/digest.h"
#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/registry.h"
#include "models/data/dataset.h"
#include "models/data/idx.h"

namespace faultline::models {
namespace {

constexpr const char* kFolder = "/usr/share/datasets/fashion-mnist";
constexpr float kMean = 0.2860f, kDeviation = 0.3530f;  // of the training pixels / 255

struct File {
  const char* name;
  const char* sha256;
};
struct Part {
  File images, labels;
};

// Debian's dataset-fashion-mnist.
constexpr Part kTrain = {
    {"train-images-idx3-ubyte.gz", "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"},
    {"train-labels-idx1-ubyte.gz", "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"}};
constexpr Part kTest = {
    {"t10k-images-idx3-ubyte.gz", "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"},
    {"t10k-labels-idx1-ubyte.gz", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"}};

constexpr const char* kRemedy = "install Debian's dataset-fashion-mnist or set data.path to its folder";

// Reads a file whose sum is what it should be, and notes the sum. What is handed down was checked by the process that
// did it.
IdxArray read_checked(const std::string& folder, const File& file, int rank,
                      std::map<std::string, std::string>& sums) {
  const std::string path = folder + "/" + file.name;
  sums[file.name] = file.sha256;
  if (const auto inflated = inherited(file.sha256)) return parse_idx(path, *inflated, rank);
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorCode::kData, path,
                fmt::format("missing (expected SHA-256 {}): {}", file.sha256, kRemedy));
  }
  const std::string bytes = read_file(path), sum = sha256(bytes);
  if (sum != file.sha256) {
    throw Error(ErrorCode::kData, path,
                fmt::format("altered: expected SHA-256 {}, found {}: {}", file.sha256, sum, kRemedy));
  }
  return parse_idx(path, inflate(path, bytes, sum), rank);
}

Dataset load_part(const std::string& folder, const Part& part) {
  Dataset set;
  const IdxArray images = read_checked(folder, part.images, 3, set.sha256);
  const IdxArray labels = read_checked(folder, part.labels, 1, set.sha256);
  if (images.shape[0] != labels.shape[0]) {
    throw Error(ErrorCode::kData, folder,
                fmt::format("{} images but {} labels", images.shape[0], labels.shape[0]));
  }
  set.image_shape = {1, images.shape[1], images.shape[2]};
  set.pixels = images.bytes;
  set.memory = images.memory;
  set.labels.assign(labels.bytes.begin(), labels.bytes.end());
  set.classes = 10;
  set.levels = normalised_levels(kMean, kDeviation);
  return set;
}

const Registered<DatasetKind> kFashionMnist{"fashion_mnist", {[](const DataConfig& config) -> Datasets {
                                              const std::string folder =
                                                  config.path.empty() ? kFolder : config.path;
                                              return {load_part(folder, kTrain), load_part(folder, kTest)};
                                            }}};

}  // namespace
}  // namespace faultline::models
