#include <bit>
#include <catch2/catch.hpp>
#include <cstddef>
#include <map>
#include <random>

#include "engine/tensor/digest.h"
#include "harness/replay.h"
#include "tests/harness/small_runs.h"

namespace faultline::harness {
namespace {

constexpr int64_t kAllBitsUpTo = 4096;  // of one tensor; larger ones are sampled
constexpr double kSampled = 21000;      // about so many bits, over all larger tensors of a step

using Tensors = std::map<std::string, Tensor>;  // by the name of the ledger's entry

Tensors tensors_of_step(const Recipe& recipe, int64_t step) {
  Tensors tensors;
  for (const Recorded& r : replay(recipe, step, step)) {
    for (size_t i = 0; i < r.outputs.size(); ++i) {
      const std::string entry = std::string(r.is_leaf ? "leaf" : name(r.phase)) + "/" + r.output_name(i);
      if (r.outputs[i].defined()) REQUIRE(tensors.emplace(entry, r.outputs[i].contiguous()).second);
    }
  }
  return tensors;
}

StepRecord record_of_step(const Recipe& recipe, int64_t step) {
  Trainer trainer(recipe);
  StepRecord record;
  for (int64_t s = 0; s <= step; ++s) record = trainer.step();
  return record;
}

int64_t bit_count(const Tensor& tensor) { return 8 * tensor.size_bytes(); }

// Every bit of a small tensor; of a larger one each bit with the probability `share`.
std::vector<int64_t> chosen_bits(const Tensor& tensor, double share, std::mt19937_64& random) {
  std::bernoulli_distribution chosen(bit_count(tensor) <= kAllBitsUpTo ? 1 : share);
  std::vector<int64_t> bits;
  for (int64_t bit = 0; bit < bit_count(tensor); ++bit) {
    if (chosen(random)) bits.push_back(bit);
  }
  return bits;
}

void flip(Tensor& tensor, int64_t bit) {
  static_cast<std::byte*>(tensor.mutable_raw())[bit / 8] ^= std::byte{1} << (bit % 8);
}

// Counts the flips in the tensor of one entry that leave the tensor's or the step's digest as it was.
int64_t unseen_flips(StepRecord record, size_t entry, const Tensor& tensor,
                     const std::vector<int64_t>& bits) {
  const Digest of_tensor = record.entries[entry].digest, of_step = step_digest(record);
  Tensor changed = tensor.clone();
  int64_t unseen = 0;
  for (const int64_t bit : bits) {
    flip(changed, bit);
    record.entries[entry].digest = digest(changed);
    unseen += record.entries[entry].digest == of_tensor || step_digest(record) == of_step;
    flip(changed, bit);
  }
  return unseen;
}

// No tensor of these steps holds a NaN: NaNs count as one value, whatever their payload (numerics.md 2.9).
TEST_CASE("step digest: a flip of any bit of any leaf or output changes it") {
  std::mt19937_64 random(3);
  int64_t flips = 0;
  for (const char* compute : {"f32", "bf16", "f16"}) {
    const Recipe recipe =
        small({{"precision.compute", compute}, {"amp.scaler", "static"}, {"ledger.detail", "ops"}});
    const StepRecord record = record_of_step(recipe, 2);
    const Tensors tensors = tensors_of_step(recipe, 2);
    REQUIRE(tensors.size() == record.entries.size());
    int64_t large_bits = 0;
    for (const auto& [name, tensor] : tensors) {
      if (bit_count(tensor) > kAllBitsUpTo) large_bits += bit_count(tensor);
    }
    for (size_t entry = 0; entry < record.entries.size(); ++entry) {
      const std::string& name = record.entries[entry].name;
      CAPTURE(compute, name);
      REQUIRE(tensors.count(name) == 1);
      REQUIRE(record.entries[entry].digest == digest(tensors.at(name)));
      const std::vector<int64_t> bits =
          chosen_bits(tensors.at(name), kSampled / static_cast<double>(large_bits), random);
      CHECK(unseen_flips(record, entry, tensors.at(name), bits) == 0);
      flips += static_cast<int64_t>(bits.size());
    }
  }
  CHECK(flips > 60000);
}

TEST_CASE("step digest: every part of the verdict and every bit of the loss counts") {
  const StepRecord record = record_of_step(small(), 2);
  const auto changed = [&, unchanged = step_digest(record)](auto change) {
    StepRecord copy = record;
    change(copy);
    return step_digest(copy) != unchanged;
  };
  CHECK(changed([](StepRecord& r) { ++r.step; }));
  CHECK(changed([](StepRecord& r) { r.lr = std::nextafter(r.lr, 1); }));
  CHECK(changed([](StepRecord& r) { ++r.advances; }));
  CHECK(changed([](StepRecord& r) { r.scale = std::nextafter(r.scale, 0); }));
  CHECK(changed([](StepRecord& r) { r.overflow = !r.overflow; }));
  CHECK(changed([](StepRecord& r) { r.skipped = !r.skipped; }));
  CHECK(changed([](StepRecord& r) { r.first_nonfinite = "fc1.bias"; }));
  CHECK(changed([](StepRecord& r) { ++r.nonfinite_element; }));
  CHECK(changed([](StepRecord& r) { std::swap(r.entries[0], r.entries[1]); }));
  CHECK(changed([](StepRecord& r) { r.entries[0].name = r.entries[0].name.text() + "x"; }));
  for (int bit = 0; bit < 32; ++bit) {
    CHECK(changed([&](StepRecord& r) {
      r.loss = std::bit_cast<float>(std::bit_cast<uint32_t>(r.loss) ^ uint32_t{1} << bit);
    }));
  }
}

}  // namespace
}  // namespace faultline::harness
