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

// One element as cuDNN's tf32 kernels by weight cut it: slices of 64 terms are dealt to `parts` chains in turn, which
// are added in f32, the last one first and then the others in rising order.
float dealt(const Unit& unit, Dtype input, const std::vector<float>& a, const std::vector<float>& b,
            int64_t parts) {
  constexpr int64_t kSlice = 64;
  const int64_t k = a.size();
  std::vector<float> chains(parts);
  for (int64_t begin = 0; begin < k; begin += kSlice) {
    float& chain = chains[begin / kSlice % parts];
    chain = unit.dot({input, Dtype::kF32}, a.data() + begin, b.data() + begin, std::min(kSlice, k - begin),
                     chain);
  }
  float sum = chains.back();
  for (int64_t part = 0; part + 1 < parts; ++part) sum += chains[part];
  return sum;
}

// How a convolution takes a k that is recorded channel by channel, of a channel tap by tap: block by block of
// channels, of a block tap by tap.
struct Blocks {
  int64_t channels = 0;  // of a block; 0: k is taken as recorded
  int64_t taps = 3 * 3;
  bool turned = false;  // the last tap first
};

std::vector<float> in_blocks(const std::vector<float>& values, const Blocks& blocks) {
  const int64_t channels = values.size() / blocks.taps;
  std::vector<float> ordered;
  for (int64_t first = 0; first < channels; first += blocks.channels) {
    for (int64_t i = 0; i < blocks.taps; ++i) {
      const int64_t tap = blocks.turned ? blocks.taps - 1 - i : i;
      for (int64_t c = first; c < first + blocks.channels; ++c)
        ordered.push_back(values[c * blocks.taps + tap]);
    }
  }
  return ordered;
}

uint32_t pattern(float value, Dtype dtype) {
  return static_cast<uint32_t>(bits_of(round_to(value, dtype), dtype));
}

struct LibraryProduct {
  const char* name;
  const char* unit;
  int64_t part, tile;
  Blocks blocks = {};
  int64_t dealt_to = 0;  // parts; 0: parts of `part` terms instead
};

// f32 operands are rounded to tf32 first; sums are f32, and rounded to the result's format at the end.
int64_t differences(const LibraryProduct& product, Tf32Rounding rounding = Tf32Rounding::kRne) {
  const VectorFile file = file_at(kFolder / "library" / (std::string(product.name) + ".txt"));
  const Unit& unit = Registry<Unit>::instance().find(product.unit);
  const Dtype input = file.input == Dtype::kF32 ? Dtype::kTf32 : file.input;
  const auto operand = [&](const std::vector<uint32_t>& patterns, int64_t row) {
    const auto first = patterns.begin() + row * file.k;
    std::vector<float> operand = values({first, first + file.k}, file.input);
    if (product.blocks.channels > 0) operand = in_blocks(operand, product.blocks);
    for (float& value : operand) value = input == Dtype::kTf32 ? tf32_from_f32(value, rounding) : value;
    return operand;
  };
  const VectorTile& tile = file.tiles.at(0);
  int64_t differences = 0;
  for (int64_t i = 0; i < file.m * file.n; ++i) {
    const std::vector<float> a = operand(tile.a, i / file.n), b = operand(tile.b, i % file.n);
    const float sum = product.dealt_to > 0 ? dealt(unit, input, a, b, product.dealt_to)
                                           : in_parts(unit, input, a, b, product.part, product.tile);
    differences += pattern(sum, file.d) != tile.d[i];
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
  const LibraryProduct forward{"conv_forward_tf32_c128", "h100", 1152, 32, {32}};
  const LibraryProduct dgrad{"conv_dgrad_tf32_c128", "h100", 576, 32, {32}};
  for (const LibraryProduct& product : {forward, dgrad}) {
    INFO(product.name);
    CHECK(differences(product) == 0);
    CHECK(differences(product, Tf32Rounding::kRna) > 0);
    for (int64_t block : {1, 8, 16, 64, 128}) {
      CHECK(differences({product.name, "h100", product.part, 32, {block}}) > 0);
    }
    for (const char* unit : {"h100:wmma", "a100"}) {
      CHECK(differences({product.name, unit, product.part, 32, {32}}) > 0);
    }
  }
  CHECK(differences({forward.name, "h100", 576, 32, {32}}) > 0);
  CHECK(differences({dgrad.name, "h100", 1152, 32, {32}}) > 0);
}

TEST_CASE("h200: cuBLAS 13 rounds f32 operands to tf32 to nearest even") {
  const LibraryProduct chain{"tf32_2048x2048x512", "h100", 512, 32};
  CHECK(differences(chain) == 0);
  CHECK(differences(chain, Tf32Rounding::kRna) > 0);
  CHECK(differences(chain, Tf32Rounding::kTruncate) == 36);
}

// Of the convolutions below one half of a sum undoes the other, so that the results are what the steps cut away:
// then a result of 16 bits shows the order too.
constexpr int64_t kWhole = 1 << 20;

TEST_CASE("h200: 16-bit convolutions of cuDNN are one chain, k in blocks of as many channels as a tile has") {
  for (const LibraryProduct& product :
       std::vector<LibraryProduct>{{"cancel_forward_f16_c32", "h100:mma", kWhole, kWhole, {32}},
                                   {"cancel_forward_f16_c128", "h100:mma", kWhole, kWhole, {64}},
                                   {"cancel_forward_f16_c6", "h100:mma", kWhole, kWhole, {6, 5 * 5}},
                                   {"cancel_dgrad_bf16_c128", "h100:mma", kWhole, kWhole, {32, 9, true}},
                                   {"cancel_dgrad_f16_c64", "h100", kWhole, kWhole, {64}}}) {
    INFO(product.name);
    CHECK(differences(product) == 0);
    LibraryProduct other = product;
    other.unit = "a100";
    CHECK(differences(other) > 0);
    other = product;
    other.part = 144;
    CHECK(differences(other) > 0);
    other = product;
    other.blocks.turned = !product.blocks.turned;
    CHECK(differences(other) > 0);
    for (int64_t channels : {1, 2, 3, 8, 16, 32, 64, 128}) {
      const VectorFile file = file_at(kFolder / "library" / (std::string(product.name) + ".txt"));
      if (channels == product.blocks.channels || file.k / product.blocks.taps % channels != 0) continue;
      INFO(channels);
      other = product;
      other.blocks.channels = channels;
      CHECK(differences(other) > 0);
    }
  }
  // What is beyond whole steps comes last.
  CHECK(differences({"cancel_forward_f16_c6", "h100:mma", kWhole, 16, {6, 5 * 5}}) > 0);
}

TEST_CASE("h200: 16-bit convolutions of cuDNN by weight are one chain, image by image") {
  const char* name = "cancel_wgrad_f16_c128";
  CHECK(differences({name, "h100", kWhole, kWhole}) == 0);
  CHECK(differences({name, "a100", kWhole, kWhole}) > 0);
  CHECK(differences({name, "h100", kWhole, kWhole, {4, 14 * 14}}) > 0);  // pixel by pixel of the 4 images
  for (int64_t part : {64, 192, 392, 400}) CHECK(differences({name, "h100", part, kWhole}) > 0);
}

TEST_CASE("h200: tf32 convolutions of cuDNN by weight deal slices of 64 to parts in turn") {
  const LibraryProduct wgrad{"cancel_wgrad_tf32_c32", "h100:mma", 0, 0, {}, 10};
  CHECK(differences(wgrad) == 0);
  CHECK(differences(wgrad, Tf32Rounding::kTruncate) > 0);
  CHECK(differences({wgrad.name, "h100:wmma", 0, 0, {}, 10}) > 0);
  for (int64_t parts : {1, 2, 4, 8, 9, 11, 16}) {
    INFO(parts);
    CHECK(differences({wgrad.name, "h100:mma", 0, 0, {}, parts}) > 0);
  }
  for (int64_t part : {64, 104, 128, 512}) {
    INFO(part);
    CHECK(differences({wgrad.name, "h100:mma", part, kWhole}) > 0);
  }
}

TEST_CASE("h200: split-K of cuBLAS adds its parts in f32 where the result is f16") {
  const char* name = "cancel_f16_128x128x4096";
  CHECK(differences({name, "h100", 1408, 64}) == 0);
  CHECK(differences({name, "a100", 1408, 64}) > 0);
  for (int64_t part : {1368, 1472, 2048, 4096}) CHECK(differences({name, "h100", part, 64}) > 0);
}

}  // namespace
}  // namespace faultline
