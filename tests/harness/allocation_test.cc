#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "engine/kernels/scratch.h"
#include "engine/tensor/storage.h"
#include "harness/trainer.h"
#include "tests/support/skip.h"

namespace {

std::atomic<int64_t> news = 0;

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounts = false;  // these have an operator new of their own
#else
constexpr bool kCounts = true;

// Counted: every allocation of C++ code in this program.
void* operator new(size_t size) {
  ++news;
  if (void* block = std::malloc(size == 0 ? 1 : size)) return block;
  throw std::bad_alloc();
}
void* operator new[](size_t size) { return operator new(size); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete[](void* block, size_t) noexcept { std::free(block); }
#endif

namespace faultline::harness {
namespace {

constexpr int kWarmUp = 4, kSteps = 12;

Recipe lenet(const std::string& compute, const std::string& scaler, int threads) {
  Recipe recipe;
  const std::pair<std::string, std::string> settings[] = {{"model.name", "lenet"},
                                                          {"data.name", "synthetic"},
                                                          {"data.train_examples", "512"},
                                                          {"data.batch", "64"},
                                                          {"train.steps", "100"},
                                                          {"ledger.underflow_every", "0"},
                                                          {"precision.compute", compute},
                                                          {"amp.scaler", scaler},
                                                          {"runtime.threads", std::to_string(threads)}};
  for (const auto& [path, value] : settings) recipe.set(path, value, "test");
  return recipe;
}

TEST_CASE("training: after four steps no tensor and no kernel takes memory from the system") {
  const auto [compute, scaler] =
      GENERATE(std::pair("f32", "none"), std::pair("bf16", "none"), std::pair("f16", "dynamic"));
  const std::string detail = GENERATE("off", "ops");
  const int threads = GENERATE(1, 2);
  CAPTURE(compute, detail, threads);
  Recipe recipe = lenet(compute, scaler, threads);
  recipe.set("ledger.detail", detail, "test");
  apply_runtime(recipe);
  Trainer trainer(recipe);
  for (int i = 0; i < kWarmUp; ++i) trainer.step();
  const int64_t storage = storage_blocks_from_system(), scratch = Scratch::blocks_from_system();
  for (int i = 0; i < kSteps; ++i) trainer.step();
  CHECK(storage_blocks_from_system() == storage);
  CHECK(Scratch::blocks_from_system() == scratch);
}

// Names, shapes, nodes of the tape and plans still take memory. The bound is what they took when it was written,
// and a quarter.
TEST_CASE("training: the bookkeeping of a step of lenet in f32 takes memory a bounded number of times") {
  if (!kCounts) skip("allocations are not counted in a build with a sanitizer");
  const Recipe recipe = lenet("f32", "none", 1);
  apply_runtime(recipe);
  Trainer trainer(recipe);
  for (int i = 0; i < kWarmUp; ++i) trainer.step();
  const int64_t before = news;
  for (int i = 0; i < kSteps; ++i) trainer.step();
  const int64_t per_step = (news - before) / kSteps;
  CAPTURE(per_step);
  CHECK(per_step <= 3200);
}

}  // namespace
}  // namespace faultline::harness
