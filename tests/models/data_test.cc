#include <libdeflate.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/base/digest.h"
#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/numerics/philox.h"
#include "models/data/dataset.h"
#include "models/data/idx.h"
#include "tests/support/skip.h"

namespace faultline::models {
namespace {

namespace fs = std::filesystem;

const fs::path kDebianFolder = "/usr/share/datasets/fashion-mnist";

fs::path fresh_folder(const std::string& name) {
  const char* root = std::getenv("TEST_TMPDIR");
  const fs::path folder = (root ? fs::path(root) : fs::temp_directory_path()) / name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

void need_fashion_mnist() {
  if (!fs::exists(kDebianFolder)) skip("needs Debian's dataset-fashion-mnist");
}

std::string write_gzip(const std::string& name, const std::vector<uint8_t>& bytes) {
  const std::string path = fresh_folder("idx") / name;
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
  std::string file(libdeflate_gzip_compress_bound(compressor, bytes.size()), '\0');
  file.resize(libdeflate_gzip_compress(compressor, bytes.data(), bytes.size(), file.data(), file.size()));
  libdeflate_free_compressor(compressor);
  write_file(path, file);
  return path;
}

std::vector<uint8_t> values(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

std::string refusal(const std::string& path, int rank) {
  try {
    parse_idx(path, inflate(path, read_file(path)), rank);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kData);
    const std::string text = error.what();
    CHECK(text.rfind(path + ": ", 0) == 0);
    return text.substr(path.size() + 2);
  }
  return "";
}

TEST_CASE("fashion_mnist: Debian's files hold 60,000 and 10,000 images, the same number of each class") {
  need_fashion_mnist();
  const Datasets sets = load_datasets({.name = "fashion_mnist"});
  for (const Dataset* set : {&sets.train, &sets.test}) {
    const int64_t n = set == &sets.train ? 60000 : 10000;
    CHECK(set->size() == n);
    CHECK(set->image_shape == Shape{1, 28, 28});
    CHECK(static_cast<int64_t>(set->pixels.size()) == n * 784);
    std::vector<int64_t> counts(set->classes);
    for (const int32_t label : set->labels) ++counts.at(label);
    CHECK(counts == std::vector<int64_t>(10, n / 10));
    CHECK(set->sha256.size() == 2);
  }
  // The constants of the normalisation have four digits: the mean lies within half of the last.
  std::vector<int64_t> histogram(256);
  for (const uint8_t pixel : sets.train.pixels) ++histogram[pixel];
  double sum = 0, squares = 0, count = static_cast<double>(sets.train.pixels.size());
  for (int pixel = 0; pixel < 256; ++pixel) {
    const double level = sets.train.levels[pixel], times = static_cast<double>(histogram[pixel]);
    sum += times * level;
    squares += times * level * level;
  }
  CHECK(std::fabs(sum / count) <= 0.00005 / 0.353 + 1e-6);
  CHECK(std::fabs(std::sqrt(squares / count) - 1) <= 0.00005 / 0.353 + 1e-6);
}

TEST_CASE("fashion_mnist: a batch holds the asked examples in order, normalised") {
  need_fashion_mnist();
  const Datasets sets = load_datasets({.name = "fashion_mnist", .train_examples = 100});
  CHECK(sets.train.size() == 100);
  const Batch batch = sets.train.batch({99, 0, 99});
  CHECK(batch.x.shape() == Shape{3, 1, 28, 28});
  CHECK(batch.labels.shape() == Shape{3});
  for (int64_t n = 0; n < 3; ++n) {
    const int64_t index = batch.indices[n];
    CHECK(batch.labels.at(n) == sets.train.labels[index]);
    for (int64_t i = 0; i < 784; ++i) {
      const float pixel = static_cast<float>(sets.train.pixels[index * 784 + i]) / 255.0f;
      REQUIRE(batch.x.at(n * 784 + i) == static_cast<double>((pixel - 0.2860f) / 0.3530f));
    }
  }
}

TEST_CASE("fashion_mnist: an altered file is refused with both sums, a missing one with what to install") {
  need_fashion_mnist();
  const fs::path folder = fresh_folder("altered");
  for (const auto& entry : fs::directory_iterator(kDebianFolder)) {
    fs::copy_file(entry.path(), folder / entry.path().filename());
  }
  const fs::path labels = folder / "t10k-labels-idx1-ubyte.gz";
  fs::permissions(labels, fs::perms::owner_write, fs::perm_options::add);
  {
    std::fstream file(labels, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(100);
    file.put('x');
  }
  const auto load = [&] { load_datasets({.name = "fashion_mnist", .path = folder}); };
  CHECK_THROWS_WITH(
      load(), Catch::StartsWith(labels.string() +
                                ": altered: expected SHA-256 "
                                "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05, found ") &&
                  Catch::Contains("install Debian's dataset-fashion-mnist"));
  fs::remove(labels);
  CHECK_THROWS_WITH(load(), Catch::StartsWith(labels.string() + ": missing (expected SHA-256 8d3605d1"));
}

TEST_CASE("data: more examples than there are, or an unknown set, are refused") {
  CHECK_THROWS_WITH(load_datasets({.name = "fashion_mnits"}),
                    Catch::Contains("did you mean 'fashion_mnist'?"));
  CHECK_THROWS_WITH(load_datasets({.name = "synthetic", .image_size = 0}), Catch::Contains("image_size = 0"));
  CHECK_THROWS_WITH(load_datasets({.name = "synthetic", .train_examples = -1}),
                    Catch::Contains("-1 training examples wanted"));
  need_fashion_mnist();
  CHECK_THROWS_WITH(load_datasets({.name = "fashion_mnist", .test_examples = 10001}),
                    "data: 10001 test examples wanted, there are 10000");
}

TEST_CASE("idx: reads sizes and bytes") {
  const std::string path = write_gzip("good.gz", {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6});
  const IdxArray array = parse_idx(path, inflate(path, read_file(path)), 2);
  CHECK(array.shape == Shape{2, 3});
  CHECK(values(array.bytes) == std::vector<uint8_t>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("idx: a malformed file gives one line that names it and says what is wrong") {
  CHECK(refusal(write_gzip("empty.gz", {}), 1) == "ends before the IDX header");
  CHECK(refusal(write_gzip("type.gz", {0, 0, 9, 1, 0, 0, 0, 0}), 1) ==
        "starts with 00000901, not with 00000801 (IDX, bytes, 1 sizes)");
  CHECK(refusal(write_gzip("rank.gz", {0, 0, 8, 1, 0, 0, 0, 0}), 3) ==
        "starts with 00000801, not with 00000803 (IDX, bytes, 3 sizes)");
  CHECK(refusal(write_gzip("header.gz", {0, 0, 8, 2, 0, 0, 0, 2, 0}), 2) == "ends inside the IDX header");
  CHECK(refusal(write_gzip("huge.gz", {0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255}), 2) ==
        "has sizes [4294967295], too large");
  CHECK(refusal(write_gzip("short.gz", {0, 0, 8, 1, 0, 0, 0, 3, 1, 2}), 1) ==
        "holds 2 bytes of data, its sizes [3] ask for 3");
  CHECK(refusal(write_gzip("long.gz", {0, 0, 8, 1, 0, 0, 0, 1, 1, 2}), 1) ==
        "holds 2 bytes of data, its sizes [1] ask for 1");
  const std::string cut = write_gzip("cut.gz", std::vector<uint8_t>(10000, 0));
  fs::resize_file(cut, fs::file_size(cut) / 2);
  CHECK(refusal(cut, 1) == "is not a whole gzip file");
  const std::string whole = write_gzip("flip.gz", std::vector<uint8_t>(10000, 0));
  std::string flipped = read_file(whole);
  flipped[flipped.size() / 2] ^= 1;
  write_file(whole, flipped);
  CHECK(refusal(whole, 1) == "is not a whole gzip file");
}

TEST_CASE("inflated: what is handed down is found by its file's sum, sealed, and is what the file holds") {
  std::vector<uint8_t> bytes(100000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * i >> 7);
  const std::string path = write_gzip("shared.gz", bytes), file = read_file(path), sum = sha256(file);
  CHECK_FALSE(inherited(sum));
  CHECK(values(inflate(path, file, sum).bytes) == bytes);
  CHECK_FALSE(inherited(sum));  // nobody asked for it
  hand_down_inflated(true);
  CHECK(values(inflate(path, file, sum).bytes) == bytes);
  CHECK_FALSE(inherited(sum));  // a process checks its files itself
  const std::string cut = file.substr(0, file.size() - 9), cut_sum = sha256(cut);
  CHECK_THROWS_WITH(inflate("cut.gz", cut, cut_sum), "cut.gz: is not a whole gzip file");
  hand_down_inflated(false);
  CHECK_FALSE(inherited(cut_sum));
  CHECK_FALSE(inherited(std::string(64, '0')));
  fs::remove(path);
  const std::optional<Inflated> found = inherited(sum);
  REQUIRE(found);
  CHECK(values(found->bytes) == bytes);
  // A program that this one starts finds it too.
  const std::string program = "ls -l /proc/self/fd | grep -q faultline-data-" + sum;
  CHECK(std::system(program.c_str()) == 0);
}

TEST_CASE("synthetic: the same examples from the same seed, others from another") {
  const DataConfig config = {.name = "synthetic", .train_examples = 40, .test_examples = 20, .image_size = 6};
  const Datasets a = load_datasets(config), b = load_datasets(config);
  CHECK(values(a.train.pixels) == values(b.train.pixels));
  CHECK(a.train.labels == b.train.labels);
  CHECK(a.train.image_shape == Shape{1, 6, 6});
  CHECK(a.train.size() == 40);
  CHECK(a.test.size() == 20);
  DataConfig other = config;
  other.seed = 2;
  CHECK(values(load_datasets(other).train.pixels) != values(a.train.pixels));
}

TEST_CASE("synthetic: the nearest class mean recognises every test example") {
  const Datasets sets = load_datasets({.name = "synthetic", .image_size = 8});
  const int64_t image = 64;
  std::vector<double> means(10 * image), counts(10);
  for (int64_t n = 0; n < sets.train.size(); ++n) {
    ++counts[sets.train.labels[n]];
    for (int64_t i = 0; i < image; ++i)
      means[sets.train.labels[n] * image + i] += sets.train.pixels[n * image + i];
  }
  int64_t wrong = 0;
  for (int64_t n = 0; n < sets.test.size(); ++n) {
    std::vector<double> distance(10);
    for (int64_t c = 0; c < 10; ++c) {
      for (int64_t i = 0; i < image; ++i) {
        distance[c] += std::pow(sets.test.pixels[n * image + i] - means[c * image + i] / counts[c], 2);
      }
    }
    wrong += std::min_element(distance.begin(), distance.end()) - distance.begin() != sets.test.labels[n];
  }
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace faultline::models
