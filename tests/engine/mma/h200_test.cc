// The models of Hopper against what an H200 gave: captures/h200/README.md.
#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/mma/conformance.h"
#include "engine/numerics/ulp.h"

namespace faultline {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = "tests/engine/mma/captures/h200";

VectorFile file_at(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return parse_vector_file(path.filename(), text.str());
}

bool takes(const std::string& unit, const VectorFile& file) {
  const std::vector<UnitFormat>& formats = Registry<Unit>::instance().find(unit).formats;
  return std::find(formats.begin(), formats.end(), UnitFormat{file.input, file.d}) != formats.end();
}

struct Total {
  int files = 0;
  int64_t elements = 0, fast_elements = 0, differences = 0;
};

std::vector<float> values(const std::vector<uint32_t>& patterns, Dtype dtype) {
  std::vector<float> values;
  for (uint32_t bits : patterns) values.push_back(static_cast<float>(value_of(bits, dtype)));
  return values;
}

// How many elements of a file with f16 accumulators differ where the rule's FLOOR is another.
int64_t differences_with_floor_moved(const VectorFile& file, int by) {
  const std::vector<StepRule>& rules = Registry<Unit>::instance().find(file.chip).rules;
  StepRule rule = *step_rule(rules, {file.input, file.d});
  rule.floor += by;
  int64_t differences = 0;
  for (const VectorTile& tile : file.tiles) {
    const std::vector<float> a = values(tile.a, file.input), b = values(tile.b, file.input),
                             c = values(tile.c, file.c);
    for (int64_t i = 0; i < file.m * file.n; ++i) {
      const float *left = a.data() + i / file.n * file.k, *right = b.data() + i % file.n * file.k;
      differences += f16_from_f32(fused_dot(rule, left, right, file.k, c[i])).bits != tile.d[i];
    }
  }
  return differences;
}

// The files of the instructions: the captures, or those recorded for one question, which their names begin with.
std::vector<fs::path> instructions(const std::string& question = "") {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kFolder / "instructions")) {
    const std::string name = entry.path().filename();
    const bool special = name.starts_with("vanishing.") || name.starts_with("ties.");
    if (question.empty() ? !special : name.starts_with(question)) files.push_back(entry.path());
  }
  return files;
}

Total judge_all(const std::vector<fs::path>& files) {
  Total total;
  for (const fs::path& path : files) {
    const VectorFile file = file_at(path);
    const Conformance result = judge(path.filename(), file, file.chip);
    INFO(path.filename());
    CHECK(result.differences == 0);
    ++total.files;
    total.elements += result.elements;
    total.fast_elements += result.fast_elements;
    total.differences += result.differences;
  }
  return total;
}

TEST_CASE("h200: every instruction gives what its model gives, by both implementations") {
  const Total total = judge_all(instructions());
  CHECK(total.files == 24);
  CHECK(total.elements == 41472);
  CHECK(total.fast_elements == 23040);
  CHECK(total.differences == 0);
}

TEST_CASE("h200: negative sums that vanish in the conversion are +0") {
  const Total total = judge_all(instructions("vanishing."));
  CHECK(total.files == 11);
  CHECK(total.elements == 55);
  CHECK(total.differences == 0);
}

TEST_CASE("h200: ties of f16 accumulators go as FLOOR says, and by no other FLOOR") {
  const Total total = judge_all(instructions("ties."));
  CHECK(total.files == 4);
  CHECK(total.elements == 1024);
  CHECK(total.fast_elements == 512);
  for (const fs::path& path : instructions("ties.")) {
    const VectorFile file = file_at(path);
    INFO(path.filename());
    for (int by : {1, -1}) CHECK(differences_with_floor_moved(file, by) > 0);
  }
}

TEST_CASE("h200: units beside the right one do not pass") {
  struct Neighbour {
    const char *instruction, *unit;
  };
  for (const Neighbour& neighbour : std::vector<Neighbour>{{"mma.m16n8k16.f16.f32", "a100"},
                                                           {"mma.m16n8k16.f16.f16", "a100"},
                                                           {"mma.m16n8k16.bf16.f32", "a100"},
                                                           {"mma.m16n8k8.f16.f32", "a100"},
                                                           {"mma.m16n8k8.tf32.f32", "a100"},
                                                           {"mma.m16n8k8.tf32.f32", "h100:wmma"},
                                                           {"wmma.m16n16k8.tf32.f32", "a100"},
                                                           {"wmma.m16n16k8.tf32.f32", "h100:mma"},
                                                           {"wgmma.m64n8k16.f16.f32", "a100"},
                                                           {"wgmma.m64n8k16.bf16.f32", "a100"},
                                                           {"wgmma.m64n8k8.tf32.f32", "a100"},
                                                           {"mma.m16n8k32.e4m3.f32", "h100"},
                                                           {"mma.m16n8k32.e5m2.f16", "h100"},
                                                           {"wgmma.m64n8k32.e4m3.f32", "h100:mma"},
                                                           {"wgmma.m64n8k32.e5m2.f16", "l40s"},
                                                           {"wgmma.m64n8k32.e5m2.f32", "l40s"}}) {
    const std::string name = std::string(neighbour.instruction) + ".txt";
    const VectorFile file = file_at(kFolder / "instructions" / name);
    INFO(name << " " << neighbour.unit);
    REQUIRE(takes(neighbour.unit, file));
    CHECK(judge(name, file, neighbour.unit).differences > 20);
  }
}

TEST_CASE("h200: products of cuBLAS without split-K are one chain of wgmma") {
  Total total, a100;
  for (const char* name :
       {"f16_64x64x64", "f16_128x128x512", "f16_128x256x784", "f16_64x120x400", "f16_2048x2048x512",
        "bf16_64x64x64", "bf16_128x128x512", "bf16_128x256x784", "bf16_64x120x400", "bf16_2048x2048x512"}) {
    const VectorFile file = file_at(kFolder / "library" / (std::string(name) + ".txt"));
    const Conformance result = judge(name, file, file.chip);
    INFO(name);
    CHECK(result.differences == 0);
    total.elements += result.elements;
    total.fast_elements += result.fast_elements;
    a100.differences += judge(name, file, "a100").differences;
  }
  CHECK(total.elements == 384);
  CHECK(total.fast_elements == 384);
  CHECK(a100.differences > 200);
}

// One element as a library cuts it: parts of `part` terms, added in rising order in f32. What a part has beyond
// whole tiles of k comes first in it, as CUTLASS loads it.
float in_parts(const Unit& unit, Dtype input, const std::vector<float>& a, const std::vector<float>& b,
               int64_t part, int64_t tile) {
  const int64_t k = a.size();
  float sum = 0;
  for (int64_t begin = 0; begin < k; begin += part) {
    const int64_t terms = std::min(part, k - begin), rest = terms % tile;
    const auto chain = [&](int64_t at, int64_t n, float c) {
      return unit.dot({input, Dtype::kF32}, a.data() + at, b.data() + at, n, c);
    };
    sum += chain(begin + rest, terms - rest, chain(begin, rest, 0));
  }
  return sum;
}

// A convolution's k, recorded channel by channel, as cuDNN takes it: block by block of channels, of a block tap by
// tap.
std::vector<float> in_blocks(const std::vector<float>& values, int64_t block) {
  constexpr int64_t kTaps = 3 * 3;
  const int64_t channels = values.size() / kTaps;
  std::vector<float> ordered;
  for (int64_t first = 0; first < channels; first += block) {
    for (int64_t tap = 0; tap < kTaps; ++tap) {
      for (int64_t c = first; c < first + block; ++c) ordered.push_back(values[c * kTaps + tap]);
    }
  }
  return ordered;
}

struct LibraryProduct {
  const char* name;
  const char* unit;
  int64_t part, tile;
  int64_t block = 0;  // channels of a convolution; 0: k is taken as recorded
};

// f32 operands are rounded to tf32 first.
int64_t differences(const LibraryProduct& product, Tf32Rounding rounding = Tf32Rounding::kRne) {
  const VectorFile file = file_at(kFolder / "library" / (std::string(product.name) + ".txt"));
  const Unit& unit = Registry<Unit>::instance().find(product.unit);
  const bool tf32 = file.input == Dtype::kF32;
  const auto operand = [&](const std::vector<uint32_t>& patterns, int64_t row) {
    const auto first = patterns.begin() + row * file.k;
    std::vector<float> operand = values({first, first + file.k}, file.input);
    if (product.block > 0) operand = in_blocks(operand, product.block);
    for (float& value : operand) value = tf32 ? tf32_from_f32(value, rounding) : value;
    return operand;
  };
  const VectorTile& tile = file.tiles.at(0);
  int64_t differences = 0;
  for (int64_t i = 0; i < file.m * file.n; ++i) {
    const float sum = in_parts(unit, tf32 ? Dtype::kTf32 : file.input, operand(tile.a, i / file.n),
                               operand(tile.b, i % file.n), product.part, product.tile);
    differences += std::bit_cast<uint32_t>(sum) != tile.d[i];
  }
  return differences;
}

TEST_CASE("h200: split-K of cuBLAS is parts of whole tiles, added in rising order in f32") {
  for (const char* name : {"f16_128x128x4096", "bf16_128x128x4096"}) {
    INFO(name);
    CHECK(differences({name, "h100", 1408, 64}) == 0);
    CHECK(differences({name, "h100", 1368, 64}) > 0);  // thirds to a multiple of 8
    CHECK(differences({name, "h100", 4096, 64}) > 0);
  }
  for (const LibraryProduct& product : std::vector<LibraryProduct>{{"tf32_64x64x64", "h100:mma", 32, 16},
                                                                   {"tf32_128x128x512", "h100:mma", 64, 16},
                                                                   {"tf32_64x120x400", "h100:mma", 68, 16}}) {
    INFO(product.name);
    CHECK(differences(product) == 0);
    CHECK(differences({product.name, "h100:mma", 1 << 20, 16}) > 0);
  }
  CHECK(differences({"tf32_64x120x400", "h100:mma", 68, 1 << 20}) > 0);  // the rest of a part last
}

TEST_CASE("h200: fp8 of cuBLAS is a chain where it may accumulate fast, else parts of 128") {
  const LibraryProduct fast{"e4m3_fast_1024x1024x2048", "h100", 2048, 32};
  const LibraryProduct parts{"e4m3_1024x1024x2048", "h100", 128, 32};
  CHECK(differences(fast) == 0);
  CHECK(differences(parts) == 0);
  for (const LibraryProduct& product : {fast, parts}) {
    for (int64_t part : {64, 128, 256, 2048}) {
      if (part != product.part) CHECK(differences({product.name, "h100", part, 32}) > 0);
    }
    CHECK(differences({product.name, "l40s", product.part, 32}) > 0);
    CHECK(differences({product.name, "b200", product.part, 32}) > 0);
  }
}

TEST_CASE("h200: products of cuBLAS that accumulate in f16 are one chain") {
  for (const char* name : {"acc16_64x120x400", "acc16_4096x4096x1024"}) {
    const VectorFile file = file_at(kFolder / "library" / (std::string(name) + ".txt"));
    INFO(name);
    CHECK(judge(name, file, file.chip).differences == 0);
    CHECK(judge(name, file, "a100").differences > 0);
  }
}

TEST_CASE("h200: tf32 convolutions of cuDNN take k in blocks of 32 channels, of a block tap by tap") {
  const LibraryProduct forward{"conv_forward_tf32_c128", "h100", 1152, 32, 32};
  const LibraryProduct dgrad{"conv_dgrad_tf32_c128", "h100", 576, 32, 32};
  for (const LibraryProduct& product : {forward, dgrad}) {
    INFO(product.name);
    CHECK(differences(product) == 0);
    CHECK(differences(product, Tf32Rounding::kRna) > 0);
    for (int64_t block : {1, 8, 16, 64, 128}) {
      CHECK(differences({product.name, "h100", product.part, 32, block}) > 0);
    }
    for (const char* unit : {"h100:wmma", "a100"}) {
      CHECK(differences({product.name, unit, product.part, 32, 32}) > 0);
    }
  }
  CHECK(differences({forward.name, "h100", 576, 32, 32}) > 0);
  CHECK(differences({dgrad.name, "h100", 1152, 32, 32}) > 0);
}

TEST_CASE("h200: cuBLAS 13 rounds f32 operands to tf32 to nearest even") {
  const LibraryProduct chain{"tf32_2048x2048x512", "h100", 512, 32};
  CHECK(differences(chain) == 0);
  CHECK(differences(chain, Tf32Rounding::kRna) > 0);
  CHECK(differences(chain, Tf32Rounding::kTruncate) == 36);
}

}  // namespace
}  // namespace faultline
