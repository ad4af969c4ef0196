#include "engine/tensor/digest.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "engine/base/cpu.h"

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

}  // namespace
}  // namespace faultline
