// The host's half of the capture program, with a stand-in that computes by the plain models where a GPU would.
#include "engine/cuda/capture/capture.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "engine/base/error.h"
#include "engine/cuda/capture/tiles.h"
#include "engine/mma/conformance.h"
#include "engine/numerics/ulp.h"

namespace faultline {
namespace {

const Registered<MatrixInstruction> kRows[] = {
    {"mma.m16n8k16.f16.f32", {Dtype::kF16, Dtype::kF32, 16, 8, 16, 80, kNewestArchitecture}},
    {"mma.m16n8k8.f16.f16", {Dtype::kF16, Dtype::kF16, 16, 8, 8, 75, kNewestArchitecture}},
    {"wgmma.m64n8k16.f16.f16", {Dtype::kF16, Dtype::kF16, 64, 8, 16, 90, 90}},
    {"mma.m16n8k4.tf32.f32", {Dtype::kTf32, Dtype::kF32, 16, 8, 4, 80, kNewestArchitecture}},
    {"wgmma.m64n8k16.bf16.f32", {Dtype::kBf16, Dtype::kF32, 64, 8, 16, 90, 90}},
    {"wgmma.m64n8k32.e4m3.f32", {Dtype::kE4m3, Dtype::kF32, 64, 8, 32, 90, 90}},
};

std::vector<float> values(const std::vector<uint32_t>& patterns, Dtype dtype) {
  std::vector<float> values;
  for (uint32_t bits : patterns) values.push_back(static_cast<float>(value_of(bits, dtype)));
  return values;
}

uint32_t pattern(float value, Dtype dtype) {
  return dtype == Dtype::kF16 ? f16_from_f32(value).bits : std::bit_cast<uint32_t>(value);
}

// Computes by a unit's plain model.
CaptureDevice stand_in(const std::string& unit_name, int architecture) {
  const auto run = [unit_name](const MatrixInstruction& row, std::vector<VectorTile>& tiles) {
    const Unit& unit = Registry<Unit>::instance().find(unit_name);
    for (VectorTile& tile : tiles) {
      const std::vector<float> a = values(tile.a, row.input), b = values(tile.b, row.input),
                               c = values(tile.c, row.accumulate);
      for (int64_t i = 0; i < row.m * row.n; ++i) {
        const float d = unit.dot({row.input, row.accumulate}, a.data() + i / row.n * row.k,
                                 b.data() + i % row.n * row.k, row.k, c[i]);
        tile.d[i] = pattern(d, row.accumulate);
      }
    }
  };
  return {"Stand In", architecture, run};
}

struct Outcome {
  int code;
  std::string output, errors;
};

Outcome capture(const std::vector<std::string>& arguments, const std::string& unit = "h100",
                int architecture = 90) {
  std::ostringstream output, errors;
  const int code = capture_command(
      arguments, [&] { return stand_in(unit, architecture); }, output, errors);
  return {code, output.str(), errors.str()};
}

TEST_CASE(
    "capture: what a device with the model's arithmetic gives is judged equal, instruction by instruction") {
  for (const auto& [name, row] : Registry<MatrixInstruction>::instance().entries()) {
    const std::string unit = chip_name(name, 90);
    const Outcome outcome = capture({"--instruction", name, "--tiles", "36", "--seed", "7"}, unit);
    INFO(name << " " << outcome.errors);
    REQUIRE(outcome.code == 0);
    const VectorFile file = parse_vector_file(name, outcome.output);
    CHECK(file.chip == unit);
    CHECK(file.notes == "gpu=Stand_In instruction=" + name + " seed=7 source=capture");
    CHECK((file.m == row.m && file.n == row.n && file.k == row.k));
    const Conformance result = judge(name, file, file.chip);
    CHECK(result.elements == 36 * row.m * row.n);
    CHECK(result.fast_elements == 20 * row.m * row.n);
    CHECK(result.differences == 0);
  }
}

TEST_CASE("capture: the tiles tell chips apart") {
  const Outcome outcome = capture({"--instruction", "mma.m16n8k16.f16.f32", "--tiles", "36"}, "a100", 80);
  const VectorFile file = parse_vector_file("a100", outcome.output);
  CHECK(file.chip == "a100");
  CHECK(judge("f", file, "a100").differences == 0);
  CHECK(judge("f", file, "h100").differences > 100);
  CHECK(judge("f", file, "fma").differences > 100);
}

TEST_CASE("capture: tiles are a function of the seed and hold what their category says") {
  const MatrixInstruction& row = Registry<MatrixInstruction>::instance().find("mma.m16n8k16.f16.f32");
  const std::vector<VectorTile> tiles = make_tiles(row, 90, 3), again = make_tiles(row, 90, 3),
                                other = make_tiles(row, 90, 4);
  std::set<std::string> categories;
  for (size_t i = 0; i < tiles.size(); ++i) {
    categories.insert(tiles[i].category);
    CHECK(tiles[i].a == again[i].a);
    CHECK(tiles[i].c == again[i].c);
    CHECK(tiles[i].a != other[i].a);
  }
  CHECK(categories == std::set<std::string>{"normal", "wide", "subnormal", "cancel", "one_large", "tiny",
                                            "overflow", "special", "bits"});
  CHECK(make_tiles(row, 5, 3).back().b == tiles[4].b);
}

// How many elements of h100 with another FLOOR are not those of the file, whose C is 0.
int64_t differences_with_floor_moved(const VectorFile& file, int by) {
  StepRule rule = *step_rule(Registry<Unit>::instance().find("h100").rules, {file.input, file.d});
  rule.floor += by;
  int64_t differences = 0;
  for (const VectorTile& tile : file.tiles) {
    const std::vector<float> a = values(tile.a, file.input), b = values(tile.b, file.input);
    for (int64_t i = 0; i < file.m * file.n; ++i) {
      const float *left = a.data() + i / file.n * file.k, *right = b.data() + i % file.n * file.k;
      differences += f16_from_f32(fused_dot(rule, left, right, file.k, 0)).bits != tile.d[i];
    }
  }
  return differences;
}

TEST_CASE("capture: ties show a FLOOR that is another, of every f16 accumulator") {
  for (const char* name : {"mma.m16n8k8.f16.f16", "wgmma.m64n8k16.f16.f16"}) {
    INFO(name);
    const Outcome outcome = capture({"--instruction", name, "--ties", "--tiles", "6"});
    const VectorFile file = parse_vector_file(name, outcome.output);
    CHECK(file.notes == "gpu=Stand_In instruction=" + std::string(name) + " source=ties");
    CHECK(judge(name, file, "h100").differences == 0);
    for (int by : {-1, 1}) CHECK(differences_with_floor_moved(file, by) == file.m);
  }
}

// How many values of a kind the tiles of a category have.
std::map<std::string, int> counts(const char* instruction, const std::string& category,
                                  const std::string& unit) {
  const MatrixInstruction& row = Registry<MatrixInstruction>::instance().find(instruction);
  std::vector<VectorTile> tiles = make_tiles(row, 180, 1);
  stand_in(unit, 90).run(row, tiles);
  std::map<std::string, int> counts;
  for (const VectorTile& tile : tiles) {
    if (tile.category != category) continue;
    for (uint32_t bits : tile.a) {
      counts["subnormal a"] +=
          ulp_distance(value_of(bits, row.input), 0, row.input) < 1 << info(row.input).fraction_bits;
    }
    for (float c : values(tile.c, row.accumulate)) counts["zero c"] += c == 0;
    for (float d : values(tile.d, row.accumulate)) {
      ++counts["d"];
      counts["infinite d"] += std::isinf(d);
      counts["nan d"] += std::isnan(d);
      counts["zero d"] += d == 0;
    }
  }
  return counts;
}

TEST_CASE("capture: categories reach what they are for") {
  for (const char* name : {"mma.m16n8k16.f16.f32", "wgmma.m64n8k16.bf16.f32", "wgmma.m64n8k32.e4m3.f32"}) {
    INFO(name);
    CHECK(counts(name, "subnormal", "h100")["subnormal a"] > 100);
    CHECK(counts(name, "special", "h100")["nan d"] > 100);
    CHECK(counts(name, "normal", "h100")["nan d"] == 0);
  }
  CHECK(counts("wgmma.m64n8k16.bf16.f32", "overflow", "h100")["infinite d"] > 100);
  CHECK(counts("mma.m16n8k8.f16.f16", "overflow", "h100:mma")["infinite d"] > 100);
  auto special = counts("wgmma.m64n8k16.bf16.f32", "special", "h100");
  CHECK(special["infinite d"] > 100);
  CHECK(special["infinite d"] + special["nan d"] < special["d"]);
}

TEST_CASE("capture: refusals are one line and exit code 2") {
  const auto refused = [](const Outcome& outcome, const std::string& part) {
    CHECK(outcome.code == 2);
    CHECK(outcome.output.empty());
    CHECK_THAT(outcome.errors, Catch::StartsWith("capture: ") && Catch::Contains(part));
    CHECK(std::count(outcome.errors.begin(), outcome.errors.end(), '\n') == 1);
  };
  refused(capture({}), "say --instruction NAME, or --list");
  refused(capture({"--instruction", "mma.m16n8k16.f16.f16"}), "unknown name");
  refused(capture({"--instruction", "mma.m16n8k16.f16.f32", "--tiles", "0"}), "must be from 1");
  refused(capture({"--instruction", "mma.m16n8k16.f16.f32", "--tiles", "many"}), "--tiles");
  refused(capture({"--instrument", "mma"}), "--instrument");
  refused(capture({"--instruction", "mma.m16n8k16.f16.f32", "--ties"}), "--ties: are made for f16");
  refused(capture({"--instruction", "wgmma.m64n8k16.bf16.f32"}, "a100", 80),
          "Stand In is sm_80 and has no such");
  std::ostringstream output, errors;
  const auto none = []() -> CaptureDevice { throw Error(ErrorCode::kUnsupported, "gpu", "there is none"); };
  const int code = capture_command({"--instruction", "mma.m16n8k16.f16.f32"}, none, output, errors);
  refused({code, output.str(), errors.str()}, "gpu: there is none");
}

TEST_CASE("capture: --list needs no GPU and names instructions with their architectures") {
  std::ostringstream output, errors;
  CHECK(capture_command(
            {"--list"}, []() -> CaptureDevice { throw Error(ErrorCode::kUnsupported, "gpu", "none"); },
            output, errors) == 0);
  CHECK_THAT(output.str(), Catch::Contains("mma.m16n8k8.f16.f16           sm_75 and newer\n"));
  CHECK_THAT(output.str(), Catch::Contains("wgmma.m64n8k16.bf16.f32       sm_90\n"));
}

TEST_CASE("capture: the file names the unit that models the instruction") {
  CHECK(chip_name("mma.m16n8k8.f16.f32", 75) == "t4");
  CHECK(chip_name("mma.m16n8k16.f16.f32", 86) == "a100");
  CHECK(chip_name("wmma.m16n16k16.f16.f32", 89) == "l40s");
  CHECK(chip_name("wgmma.m64n8k16.f16.f32", 90) == "h100");
  CHECK(chip_name("mma.m16n8k16.f16.f32", 90) == "h100:mma");
  CHECK(chip_name("wmma.m16n16k8.tf32.f32", 90) == "h100:wmma");
  CHECK(chip_name("wmma.m16n16k16.f16.f32", 100) == "b200:wmma");
  CHECK(chip_name("mma.m16n8k16.f16.f32", 999) == "sm_999");
}

}  // namespace
}  // namespace faultline
