#include "engine/mma/conformance.h"

#include <bit>
#include <catch2/catch.hpp>
#include <random>

#include "engine/base/error.h"
#include "engine/mma/intel_bf16.h"

namespace faultline {
namespace {

constexpr int64_t kM = 3, kN = 2, kK = 5;

// Tiles whose D is the plain model's; C is +0 in every other one.
VectorFile captured() {
  VectorFile file{"amx_bf16", "", Dtype::kBf16, Dtype::kF32, Dtype::kF32, kM, kN, kK};
  std::mt19937 random(1);
  const auto pattern = [&] { return 0x3f00 + random() % 256; };
  for (int64_t t = 0; t < 4; ++t) {
    VectorTile tile{"normal",
                    std::vector<uint32_t>(kM * kK),
                    std::vector<uint32_t>(kK * kN),
                    std::vector<uint32_t>(kM * kN),
                    std::vector<uint32_t>(kM * kN),
                    t + 2};
    for (uint32_t& x : tile.a) x = pattern();
    for (uint32_t& x : tile.b) x = pattern();
    for (uint32_t& x : tile.c) x = t % 2 == 0 ? 0 : pattern() << 16;
    for (int64_t i = 0; i < kM * kN; ++i) {
      float a[kK], b[kK];
      for (int64_t k = 0; k < kK; ++k) {
        a[k] = std::bit_cast<float>(tile.a[i / kN * kK + k] << 16);
        b[k] = std::bit_cast<float>(tile.b[i % kN * kK + k] << 16);
      }
      const float d = amx_bf16_dot(a, b, kK, std::bit_cast<float>(tile.c[i]));
      tile.d[i] = std::bit_cast<uint32_t>(d);
    }
    file.tiles.push_back(tile);
  }
  return file;
}

TEST_CASE("conformance: a unit agrees with its own results, by both implementations") {
  const Conformance result = judge("f.txt", captured(), "amx_bf16");
  CHECK(result.elements == 4 * kM * kN);
  CHECK(result.fast_elements == 2 * kM * kN);
  CHECK(result.differences == 0);
  CHECK(result.first.empty());
}

TEST_CASE("conformance: one flipped bit is one difference, with its place") {
  VectorFile file = captured();
  file.tiles[1].d[3] ^= 1;
  const Conformance result = judge("f.txt", file, "amx_bf16");
  REQUIRE(result.differences == 1);
  const VectorDifference& difference = result.first[0];
  CHECK(difference.line == 3);
  CHECK(difference.row == 1);
  CHECK(difference.column == 1);
  CHECK(difference.captured == file.tiles[1].d[3]);
  CHECK(difference.plain == (file.tiles[1].d[3] ^ 1));
  CHECK(difference.exact == Approx(std::bit_cast<float>(difference.plain)).epsilon(1e-6));
}

TEST_CASE("conformance: only the first differences are kept, all are counted") {
  VectorFile file = captured();
  for (VectorTile& tile : file.tiles) {
    for (uint32_t& d : tile.d) d ^= 2;
  }
  const Conformance result = judge("f.txt", file, "amx_bf16", 3);
  CHECK(result.differences == 4 * kM * kN);
  CHECK(result.first.size() == 3);
}

TEST_CASE("conformance: formats and units that do not fit are refused") {
  const auto refusal = [](const VectorFile& file, const std::string& unit) -> std::string {
    try {
      judge("f.txt", file, unit);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  VectorFile file = captured();
  CHECK_THAT(refusal(file, "h1000"), Catch::StartsWith("f.txt: unknown unit 'h1000'"));
  CHECK_THAT(refusal(file, "eigen"), Catch::Contains("no definition of its own"));
  file.input = Dtype::kF16;
  CHECK_THAT(refusal(file, "amx_bf16"), Catch::Contains("has no product f16 -> f32"));
  file.input = Dtype::kBf16;
  file.c = Dtype::kF64;
  CHECK_THAT(refusal(file, "amx_bf16"), Catch::Contains("does not fit the accumulator f32"));
}

}  // namespace
}  // namespace faultline
