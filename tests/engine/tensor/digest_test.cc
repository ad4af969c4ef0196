#include "engine/tensor/digest.h"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/tensor/digest_queue.h"
#include "engine/tensor/storage.h"
#include "tests/support/threads.h"

namespace faultline {
namespace {

template <class T>
Digest digest_of_pattern(T bits, Dtype dtype) {
  Tensor tensor = Tensor::zeros({1}, dtype);
  *static_cast<T*>(tensor.mutable_raw()) = bits;
  return digest(tensor);
}

TEST_CASE("digest: every pattern of a 16-bit format has its own, all NaNs share one") {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16}) {
    const uint32_t nans = 2 * ((1u << info(dtype).fraction_bits) - 1);
    std::set<Digest> digests;
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      digests.insert(digest_of_pattern(static_cast<uint16_t>(bits), dtype));
    }
    CHECK(digests.size() == 65536 - nans + 1);
  }
}

TEST_CASE("digest: one on every instruction set, whatever the length and wherever a NaN lies") {
  const std::vector<std::string> sets = instruction_sets();
  for (const Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBf16, Dtype::kF64, Dtype::kI32}) {
    for (const int64_t count : {1, 31, 60, 61, 64, 121, 255, 256, 257, 1000, 16385, 40000}) {
      Tensor tensor = Tensor::zeros({count}, dtype);
      for (int64_t i = 0; i < count; ++i) tensor.set(i, static_cast<double>(i * 37 % 101) - 50);
      for (const int64_t nan : {int64_t{-1}, int64_t{0}, count / 2, count - 1}) {
        if (nan >= 0 && is_float(dtype)) tensor.set(nan, -std::nan(""));
        set_instruction_set(sets.front());
        const Digest expected = digest(tensor);
        for (const std::string& set : sets) {
          set_instruction_set(set);
          CAPTURE(name(dtype), count, nan, set);
          CHECK(digest(tensor) == expected);
        }
        set_instruction_set("");
      }
    }
  }
}

TEST_CASE("digest: each bit of a number counts in f32 and f64, negative ones too") {
  for (const double value : {1.5, -1.5, 0.0, -0.0, -3.4028234663852886e38}) {
    const Tensor f32 = Tensor::full({1}, Dtype::kF32, value), f64 = Tensor::full({1}, Dtype::kF64, value);
    const uint32_t bits32 = *static_cast<const uint32_t*>(f32.raw());
    const uint64_t bits64 = *static_cast<const uint64_t*>(f64.raw());
    for (int bit = 0; bit < 32; ++bit) {
      CHECK(digest_of_pattern(bits32 ^ uint32_t{1} << bit, Dtype::kF32) != digest(f32));
    }
    for (int bit = 0; bit < 64; ++bit) {
      CHECK(digest_of_pattern(bits64 ^ uint64_t{1} << bit, Dtype::kF64) != digest(f64));
    }
  }
}

TEST_CASE("digest: NaNs of any sign and payload are one value, wherever they stand") {
  Tensor a = Tensor::full({700}, Dtype::kF32, 1), b = a.clone();
  for (int64_t i = 0; i < a.size(); ++i) {
    static_cast<uint32_t*>(a.mutable_raw())[i] = 0xffc00001;
    static_cast<uint32_t*>(b.mutable_raw())[i] = 0x7f800001;
    CAPTURE(i);
    CHECK(digest(a) == digest(b));
    a.set(i, INFINITY);
    b.set(i, -INFINITY);
    CHECK(digest(a) != digest(b));
    b.set(i, INFINITY);
  }
}

TEST_CASE("digest: a view and its copy have the same, another shape or format has another") {
  const Tensor x = Tensor::from({2, 3}, Dtype::kF32, {0, 1, 2, 3, 4, 5});
  CHECK(digest(x.transpose(0, 1)) == digest(x.transpose(0, 1).contiguous()));
  CHECK(digest(x) != digest(x.reshape({3, 2})));
  CHECK(digest(x) != digest(x.reshape({1, 2, 3})));
  CHECK(digest(Tensor::zeros({2}, Dtype::kF16)) != digest(Tensor::zeros({2}, Dtype::kBf16)));
}

Tensor drawn(Shape shape, Dtype dtype, double first) {
  Tensor tensor = Tensor::empty(std::move(shape), dtype);
  for (int64_t i = 0; i < tensor.size(); ++i) tensor.set(i, first + static_cast<double>(i * 37 % 1001));
  return tensor;
}

TEST_CASE(
    "digest: many at once and one alone are the same, used again too, empty ones and views among them") {
  const Threads threads(GENERATE(1, 2, 3, 8));
  DigestBlocks blocks;
  for (int round = 0; round < 3; ++round) {
    const std::vector<Tensor> tensors = {
        drawn({70000}, Dtype::kF32, round), drawn({3, 5}, Dtype::kF16, round),
        Tensor::empty({0, 4}, Dtype::kF32), drawn({100, 300}, Dtype::kF64, round).transpose(0, 1),
        Tensor::full({}, Dtype::kI32, round)};
    std::vector<const Tensor*> list;
    for (const Tensor& tensor : tensors) list.push_back(&tensor);
    blocks.begin(list);
    blocks.digest_all();
    blocks.end();
    for (size_t i = 0; i < tensors.size(); ++i) CHECK(blocks.digests().at(i) == digest(tensors[i]));
  }
  CHECK(digest(drawn({100, 300}, Dtype::kF64, 0).transpose(0, 1)) ==
        digest(drawn({100, 300}, Dtype::kF64, 0).transpose(0, 1).contiguous()));
}

// Shows elements [begin, end) from a copy, which then changes.
void show(ResultDigest& digest, const Tensor& result, int64_t begin, int64_t end) {
  const auto size = size_bytes(result.dtype());
  const auto* const from = static_cast<const std::byte*>(result.raw());
  std::vector<std::byte> piece(from + begin * size, from + end * size);
  digest.written(begin, end, piece.data());
  std::fill(piece.begin(), piece.end(), std::byte{0x55});
}

TEST_CASE(
    "result digest: however the pieces are cut, it is the digest of the whole, on every instruction set") {
  const Threads threads(GENERATE(1, 3));
  ResultDigest of_pieces;
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (const Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kF64, Dtype::kI32}) {
      for (const int64_t count : {int64_t{1}, int64_t{60}, int64_t{16384}, int64_t{40007}, int64_t{65536}}) {
        const Tensor result = drawn({count}, dtype, 3);
        const Digest expected = digest(result);
        for (const int64_t piece : {1, 7, 16, 32, 100, 256, 1024, 5000, 16384, 100000}) {
          if (count / piece > 5000) continue;
          of_pieces.begin(result);
          for (int64_t begin = 0; begin < count; begin += piece)
            show(of_pieces, result, begin, std::min(begin + piece, count));
          CAPTURE(set, name(dtype), count, piece);
          CHECK(of_pieces.end(result) == expected);
        }
      }
    }
    set_instruction_set("");
  }
}

TEST_CASE("result digest: pieces that never come, or come in another order, are read again") {
  const Threads threads(GENERATE(1, 2, 3, 8));
  const Tensor result = drawn({300, 512}, Dtype::kF32, 1);
  const Digest expected = digest(result);
  ResultDigest of_pieces;
  of_pieces.begin(result);
  CHECK(of_pieces.end(result) == expected);
  for (const int64_t step : {1, 7, 11, 299}) {  // rows, in steps that meet each once
    for (const int64_t most : {10, 299, 300}) {
      of_pieces.begin(result);
      for (int64_t i = 0; i < most; ++i) {
        const int64_t row = i * step % 300;
        show(of_pieces, result, row * 512, row * 512 + 512);
      }
      CAPTURE(step, most);
      CHECK(of_pieces.end(result) == expected);
    }
  }
}

TEST_CASE("result digest: threads that write rows of the same blocks at once") {
  const Threads threads(GENERATE(2, 3, 8));
  const Tensor result = drawn({4096, 64}, Dtype::kF32, 1);
  const Digest expected = digest(result);
  ResultDigest of_pieces;
  for (int round = 0; round < 20; ++round) {
    of_pieces.begin(result);
    parallel_for("test", 4096, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t row = i % 64 * 64 + i / 64;  // so that all threads are in every block
        of_pieces.written(row * 64, row * 64 + 64, result.data<float>() + row * 64);
      }
    });
    CHECK(of_pieces.end(result) == expected);
  }
}

TEST_CASE("result digest: a NaN of any sign and payload in any piece is the canonical one") {
  Tensor result = drawn({20000}, Dtype::kF32, 1);
  ResultDigest of_pieces;
  for (const int64_t nan : {0, 15, 4095, 16384, 19999}) {
    Tensor with_nan = result.clone();
    static_cast<uint32_t*>(with_nan.mutable_raw())[nan] = 0xffc00001;
    of_pieces.begin(with_nan);
    for (int64_t begin = 0; begin < 20000; begin += 1600)
      show(of_pieces, with_nan, begin, std::min<int64_t>(begin + 1600, 20000));
    const Digest expected = of_pieces.end(with_nan);
    with_nan.set(nan, std::nan(""));
    CAPTURE(nan);
    CHECK(expected == digest(with_nan));
    CHECK(expected != digest(result));
  }
}

TEST_CASE("result digest: another tensor in the same memory is not the one that was begun") {
  ResultDigest of_pieces;
  Tensor result = Tensor::empty({1000}, Dtype::kF32);
  const void* const memory = result.raw();
  of_pieces.begin(result);
  CHECK(of_pieces.is_of(result));
  CHECK(of_pieces.is_of(result.reshape({10, 100})));
  CHECK_FALSE(of_pieces.is_of(result.slice(0, 0, 500)));
  CHECK_FALSE(of_pieces.is_of(result.reshape({10, 100}).transpose(0, 1)));
  result = Tensor();
  result = Tensor::empty({1000}, Dtype::kF32);
  REQUIRE(result.raw() == memory);
  CHECK_FALSE(of_pieces.is_of(result));
}

TEST_CASE("digest queue: promises are kept, in any order, whether or not the tensor still is") {
  const Threads threads(GENERATE(1, 2, 3, 8));
  DigestQueue queue;
  for (int round = 0; round < 3; ++round) {
    std::vector<DigestQueue::Promise> promises;
    std::vector<Digest> expected;
    for (int i = 0; i < 40; ++i) {
      // From 4 bytes to 3 MB: some are digested at once, and more wait than may.
      const Tensor a = drawn({1 + i * i * i * 13 % 800000}, Dtype::kF32, round),
                   b = drawn({i, 7}, Dtype::kBf16, i);
      queue.add(std::array{&a, &b}, promises);
      expected.push_back(digest(a));
      expected.push_back(digest(b));
    }
    REQUIRE(promises.size() == expected.size());
    for (size_t i = 0; i < promises.size(); ++i) {
      const size_t at = i * 7 % promises.size();
      CHECK(promises[at].made());
      CHECK(promises[at].get() == expected[at]);
    }
  }
}

TEST_CASE("digest queue: what is never asked for does not outlive the queue") {
  const Threads threads(2);
  for (int round = 0; round < 50; ++round) {
    DigestQueue queue;
    std::vector<DigestQueue::Promise> promises;
    const Tensor x = drawn({20000}, Dtype::kF32, round);
    queue.add(std::array{&x}, promises);
  }
}

TEST_CASE("digest queue: once it has been used, it takes no memory for tensors") {
  const Threads threads(2);
  DigestQueue queue;
  int64_t blocks = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<DigestQueue::Promise> promises;
    for (int i = 0; i < 30; ++i) {
      const Tensor x = Tensor::zeros({100000}, Dtype::kF32);
      queue.add(std::array{&x}, promises);
    }
    for (const DigestQueue::Promise& promise : promises) promise.get();
    if (round == 0) blocks = storage_blocks_from_system();
    CHECK(storage_blocks_from_system() == blocks);
  }
}

}  // namespace
}  // namespace faultline
